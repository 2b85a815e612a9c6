//! What reloads of 10,000 routers in 2,000 files cost: themselves, and those whose traffic runs meanwhile.

mod site;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use xtask::process;

use super::{median, micros, sorted};
use crate::shell::{Outcome, find};
use site::{Site, echoes};

/// Reloads for each round.
const RELOADS: usize = 20;
/// WebSockets that stay open.
const WEBSOCKETS: usize = 50;
/// Keep-alive clients of the running traffic, and how often each asks.
const CLIENTS: usize = 8;
const PACE: Duration = Duration::from_millis(4);
/// One side of a comparison.
const SIDE: Duration = Duration::from_secs(3);
/// How long wrk and h2load run each time, and how often at most.
const LOAD: Duration = Duration::from_secs(20);
const LOAD_ROUNDS_MAX: usize = 9;
/// What wrk says only where something has failed.
const WRK_FAILURES: [&str; 2] = ["Socket errors", "Non-2xx"];
/// Reloads before memory is looked at for the first time.
const WARM_UP: usize = 10;
/// Reloads after each of which memory is looked at, before the others and after them.
const READINGS: usize = 5;
/// How long after a reload it is looked at.
const SETTLED: Duration = Duration::from_secs(1);

/// With 20 reloads for each round: 5 rounds are the 100 of the goal.
pub fn run(rounds: usize) -> Outcome {
    println!("\nreload (10,000 routers in 2,000 files)");
    let mut site = Site::start()?;
    check(&site)?;
    println!(
        "  memory of the process: {:.1} MiB",
        mebibytes(site.resident()?)
    );
    cost(&mut site, rounds * 2)?;
    beside(&mut site, rounds)?;
    websockets(&mut site, rounds * RELOADS)?;
    load(&mut site, rounds * RELOADS)
}

fn check(site: &Site) -> Outcome {
    let begun = Instant::now();
    let output = site.weir(&["check", &site.rules_directory()])?;
    println!(
        "  weir check: {:.2} s, {}",
        begun.elapsed().as_secs_f64(),
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .lines()
            .last()
            .unwrap_or_default()
    );
    Ok(())
}

/// Of a proxy that does nothing else.
fn cost(site: &mut Site, reloads: usize) -> Outcome {
    site.reload()?;
    let before = process::processor_time(site.pid())?;
    let mut times = Vec::new();
    for _ in 0..reloads {
        times.push(site.reload()?.as_secs_f64() * 1e3);
    }
    let used = process::processor_time(site.pid())? - before;
    let times = sorted(times.into_iter());
    println!(
        "  a reload: {:.0} ms of one core, {:.0} ms until `weir reload` answers (median of {reloads})",
        micros(used) / 1e3 / reloads as f64,
        median(&times)
    );
    Ok(())
}

/// Traffic at a steady pace: alone, with a reload a second, and, to tell what reloads do to workers from what anything
/// does that computes on the same processors, with a nice process a second that computes as much and is not weir.
fn beside(site: &mut Site, rounds: usize) -> Outcome {
    let reload = reload_time(site)?;
    let mut sides: [(&str, Vec<Latencies>, Duration); 3] = [
        ("without reloads", Vec::new(), Duration::ZERO),
        ("with one a second", Vec::new(), Duration::ZERO),
        ("with another process", Vec::new(), Duration::ZERO),
    ];
    for round in 0..rounds * sides.len() {
        let side = round % sides.len();
        site.probed.latest();
        let latencies = traffic(site.plain, || match side {
            0 => Ok(()),
            1 => site.reload().map(drop),
            _ => compute(reload),
        })?;
        sides[side].1.push(latencies);
        sides[side].2 = sides[side].2.max(site.probed.latest());
    }
    for (name, latencies, late) in sides {
        let of = |value: fn(&Latencies) -> f64| median(&sorted(latencies.iter().map(value)));
        println!(
            "  traffic {name}: p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us; the latest probe {:.0} ms late",
            of(|one| one.p50),
            of(|one| one.p99),
            of(|one| one.p999),
            late.as_secs_f64() * 1e3
        );
    }
    Ok(())
}

/// Processor time of a reload.
fn reload_time(site: &mut Site) -> Outcome<Duration> {
    let before = process::processor_time(site.pid())?;
    (0..READINGS).try_for_each(|_| site.reload().map(drop))?;
    Ok((process::processor_time(site.pid())? - before) / READINGS as u32)
}

/// Has a process hash for so long, as nice as weir's threads that compute are.
fn compute(time: Duration) -> Outcome {
    let seconds = format!("{:.3}", time.as_secs_f64());
    let mut command = Command::new("chrt");
    command.args(["--batch", "0", "nice", "-n", "10", "timeout", &seconds]);
    command.args(["sha256sum", "/dev/zero"]);
    command.status()?;
    Ok(())
}

struct Latencies {
    p50: f64,
    p99: f64,
    p999: f64,
}

fn traffic(to: SocketAddr, mut each_second: impl FnMut() -> Outcome) -> Outcome<Latencies> {
    let until = Instant::now() + SIDE;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| thread::spawn(move || client(to, until)))
        .collect();
    while Instant::now() + Duration::from_secs(1) <= until {
        let next = Instant::now() + Duration::from_secs(1);
        each_second()?;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.join().map_err(|_| "a client panicked")??);
    }
    let all = sorted(all.into_iter().map(micros));
    let at = |part: f64| all[((all.len() - 1) as f64 * part) as usize];
    Ok(Latencies {
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
    })
}

fn client(to: SocketAddr, until: Instant) -> Outcome<Vec<Duration>> {
    const ANSWER: usize = 2;
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut times, mut buffer) = (Vec::new(), [0; 4096]);
    while Instant::now() < until {
        let begun = Instant::now();
        stream.write_all(b"GET /bytes/2 HTTP/1.1\r\nHost: main\r\n\r\n")?;
        let mut read = 0;
        while !buffer[..read].windows(4).any(|four| four == b"\r\n\r\n")
            || !buffer[..read.saturating_sub(ANSWER)].ends_with(b"\r\n\r\n")
        {
            match stream.read(&mut buffer[read..])? {
                0 => return Err("weir closed a connection".into()),
                more => read += more,
            }
        }
        times.push(begun.elapsed());
        thread::sleep(PACE.saturating_sub(begun.elapsed()));
    }
    Ok(times)
}

/// Memory once nothing of the load before is left: the median of some reloads, as loads lie now here and now there; and
/// how many loads were in memory that long after each, at most.
fn settled(site: &mut Site) -> Outcome<(f64, u64)> {
    let (mut readings, mut held) = (Vec::new(), 0);
    for _ in 0..READINGS {
        site.reload()?;
        thread::sleep(SETTLED);
        held = held.max(site.held()?);
        readings.push(mebibytes(site.resident()?));
    }
    let readings = sorted(readings.into_iter());
    println!(
        "  memory after {READINGS} reloads: {:.1} to {:.1} MiB",
        readings[0],
        readings[READINGS - 1]
    );
    Ok((median(&readings), held))
}

fn websockets(site: &mut Site, reloads: usize) -> Outcome {
    let mut tunnels = (0..WEBSOCKETS)
        .map(|_| site.websocket())
        .collect::<Outcome<Vec<_>>>()?;
    // Two loads are in memory during a reload, and what that takes of the allocator stays taken.
    for _ in 0..WARM_UP {
        site.reload()?;
    }
    let (before, _) = settled(site)?;
    for round in 0..reloads.div_ceil(RELOADS) {
        if round > 0 {
            settled(site)?;
        }
        for _ in 0..RELOADS {
            site.reload()?;
        }
    }
    let (after, held) = settled(site)?;
    tunnels.iter_mut().try_for_each(echoes)?;
    println!(
        "  {reloads} reloads under {WEBSOCKETS} WebSockets, after {WARM_UP} to warm up: {held} load(s) of rules in \
         memory a second later, {:.1} MiB before, {:.1} MiB after ({:+.1} %); all WebSockets echo",
        before,
        after,
        (after / before - 1.0) * 100.0
    );
    Ok(())
}

/// Rules are loaded again and again under wrk and h2load; what these say, and an error where a request has failed.
fn load(site: &mut Site, reloads: usize) -> Outcome {
    let url = format!("http://{}/bytes/1024", site.plain);
    let (begun, mut done, mut said) = (Instant::now(), 0, Vec::new());
    let (mut rounds, mut failed) = (0, false);
    while done < reloads && rounds < LOAD_ROUNDS_MAX {
        let running = clients(&url)?;
        let until = Instant::now() + LOAD.saturating_sub(Duration::from_secs(1));
        while Instant::now() < until && done < reloads {
            site.reload()?;
            done += 1;
        }
        rounds += 1;
        for (name, child) in running {
            let output = child.wait_with_output()?;
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            failed |= !output.status.success() || has_failed(name, &text);
            let lines = text.lines().filter(|line| tells(line));
            said.extend(lines.map(|line| format!("    {name}: {}", line.trim())));
        }
    }
    println!(
        "  {done} reloads in {:.0} s under wrk and h2load (at nice 19: they get what nobody else wants):\n{}",
        begun.elapsed().as_secs_f64(),
        said.join("\n")
    );
    match (failed, done < reloads) {
        (true, _) => Err("requests have failed".into()),
        (_, true) => Err(format!("only {done} of {reloads} reloads in {rounds} rounds").into()),
        (false, false) => Ok(()),
    }
}

/// wrk and h2load, as far as they are installed.
fn clients(url: &str) -> Outcome<Vec<(&'static str, Child)>> {
    let seconds = LOAD.as_secs().to_string();
    let mut running = Vec::new();
    for (name, arguments) in [
        ("wrk", vec!["-t1", "-c16", "-d", &seconds, url]),
        ("h2load", vec!["-t1", "-c8", "-m8", "-D", &seconds, url]),
    ] {
        let Some(program) = find(name) else {
            println!("  {name} is not installed: left out");
            continue;
        };
        // With fewer processors than it wants it would leave none to the reloads.
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(program).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        running.push((name, command.spawn()?));
    }
    Ok(running)
}

/// The lines with counts, and those with errors.
fn tells(line: &str) -> bool {
    let starts = ["requests: ", "status codes: "]
        .iter()
        .any(|start| line.starts_with(start));
    starts
        || line.contains(" requests in ")
        || WRK_FAILURES.iter().any(|words| line.contains(words))
}

/// Whether they tell of a request that got no answer, or another one than 200.
fn has_failed(name: &str, text: &str) -> bool {
    match name {
        "wrk" => {
            !text.contains(" requests in ") || WRK_FAILURES.iter().any(|words| text.contains(words))
        }
        _ => {
            !text.contains(" 0 failed, 0 errored, 0 timeout")
                || !text.contains(" 0 3xx, 0 4xx, 0 5xx")
        }
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
