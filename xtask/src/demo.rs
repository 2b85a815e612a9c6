//! `cargo xtask demo`: the main job on real traffic. A tester's address is steered to staging, a partner's network to
//! production, everybody else is terminated by the proxy and spread 3:1 over production; every request is real HTTPS,
//! and one that lands elsewhere fails the demo. Then its servers go and come back under load, and a request that fails
//! fails the demo.
//!
//! As root the parties are network namespaces on one switch, over IPv4 and IPv6, and the steering is done by XDP.
//! Without root they are loopback addresses and the steering is done in user space.

mod proxy;
mod scene;
mod stage;
mod visit;

use crate::ebpf;
use crate::interrupt::Interrupt;
use crate::setup::{Need, ensure};
use crate::shell::{Outcome, cargo, is_root, run};
use proxy::Proxy;
use stage::Stage;
use visit::Visit;

/// Sets the stage, sends the requests, judges where they landed. `--keep` leaves it running until Ctrl-C.
pub fn demo(arguments: &[String]) -> Outcome {
    let keep = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--keep"] => true,
        _ => return Err("usage: cargo xtask demo [--keep]".into()),
    };
    ensure(&[Need::Compiler, Need::Clients])?;
    if is_root() {
        ensure(&[Need::Namespaces, Need::BpfFileSystem])?;
    }
    ebpf::build_if_possible()?;
    run(&mut cargo(&["build", "--package", "weir"]))?;
    perform(keep)
}

fn perform(keep: bool) -> Outcome {
    let mut interrupt = Interrupt::catch()?;
    let stage = if is_root() {
        Stage::namespaces()?
    } else {
        Stage::loopback()?
    };
    let proxy = Proxy::start(&stage)?;
    let verdict = show(&stage, &proxy, &mut interrupt);
    if keep {
        println!("\n{}", stage.instructions(&proxy));
        interrupt.wait();
    }
    verdict
}

/// Serves as a party of the demo until its parent has gone, or it is killed.
pub fn serve(arguments: &[String]) -> Outcome {
    let [name, addresses @ ..] = arguments else {
        return Err("usage: cargo xtask serve NAME ADDRESS...".into());
    };
    let _servers = stage::serve(name, addresses.iter().map(String::as_str))?;
    let parent = nix::unistd::getppid();
    while nix::unistd::getppid() == parent {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    Ok(())
}

fn show(stage: &Stage, proxy: &Proxy, interrupt: &mut Interrupt) -> Outcome {
    let plane = proxy.steering_plane()?;
    println!("{}\n", stage.describe(&plane));
    println!("{}", Visit::header());
    let mut wrong = Vec::new();
    for visit in stage.visits() {
        interrupt.check()?;
        let report = visit.make(stage, proxy)?;
        println!("{}", report.line());
        wrong.extend(report.complaints(&plane));
    }
    println!("\n{}", scene::header());
    for scene in scene::ALL {
        interrupt.check()?;
        let report = scene.play(stage, proxy)?;
        println!("{}", report.line());
        wrong.extend(report.complaint());
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("{}\n\nlog of weir:\n{}", wrong.join("\n"), proxy.log()).into()),
    }
}
