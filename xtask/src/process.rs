//! What the kernel says of a running process: memory, processor time, descriptors.

use std::fs;
use std::io;
use std::time::Duration;

/// Resident memory of a process in bytes, file pages included.
///
/// # Errors
/// When it has ended.
pub fn resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    kibibytes(&status, "VmRSS:").ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The most memory that was resident at one time, in bytes.
///
/// # Errors
/// When it has ended.
pub fn most_resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    kibibytes(&status, "VmHWM:").ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Processor time that a process and its threads have used, in user mode and in the kernel (proc_pid_stat(5): utime,
/// stime). The kernel counts it in ticks of 10 ms.
///
/// # Errors
/// When it has ended.
pub fn processor_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in parentheses, may hold spaces; utime is the twelfth field after it.
    let (_, fields) = stat.rsplit_once(") ").ok_or(io::ErrorKind::InvalidData)?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks
        .collect::<Result<Vec<_>, _>>()
        .map_err(io::Error::other)?
        .iter()
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// How long a processor has been busy and idle, in ticks.
#[derive(Debug)]
pub struct Cpu {
    busy: u64,
    idle: u64,
}

impl Cpu {
    /// Which part of the time since then it was busy; 0 if there was none.
    #[must_use]
    pub fn busy_since(&self, before: &Self) -> f64 {
        let busy = self.busy.saturating_sub(before.busy) as f64;
        let idle = self.idle.saturating_sub(before.idle) as f64;
        busy / (busy + idle).max(1.0)
    }
}

/// What processor `number` has done so far (proc_stat(5)).
///
/// # Errors
/// When there is none of this number.
pub fn cpu(number: usize) -> io::Result<Cpu> {
    let stat = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{number} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name));
    // user nice system idle iowait irq softirq steal; what follows is part of the first two.
    let fields = line.ok_or(io::ErrorKind::NotFound)?.split(' ').take(8);
    let ticks = fields.map(str::parse).collect::<Result<Vec<u64>, _>>();
    let ticks = ticks.map_err(io::Error::other)?;
    let idle = ticks.iter().skip(3).take(2).sum();
    let busy = ticks.iter().sum::<u64>() - idle;
    Ok(Cpu { busy, idle })
}

/// How many file descriptors a process has open.
///
/// # Errors
/// When it has ended, or is another user's.
pub fn descriptors(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// What its file descriptors are: paths, `socket:[123]`, `anon_inode:[io_uring]`.
///
/// # Errors
/// When it has ended, or is another user's.
pub fn descriptor_targets(pid: u32) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    // One that is closed meanwhile is none.
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(targets.map(|target| target.display().to_string()).collect())
}

/// Memory the kernel uses for its own objects and for what is in sockets, of the whole machine, in bytes.
///
/// # Errors
/// Without /proc.
pub fn kernel_memory() -> io::Result<u64> {
    let slab = kibibytes(&fs::read_to_string("/proc/meminfo")?, "Slab:");
    // `TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1`, the last in pages.
    let sockets = fs::read_to_string("/proc/net/sockstat")?;
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:"));
    let pages = tcp.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    Ok(slab.unwrap_or_default() + pages.unwrap_or_default() * 4096)
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(number << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_process() {
        let pid = std::process::id();
        assert!(resident(pid).expect("resident") > 1 << 20);
        assert!(descriptors(pid).expect("descriptors") >= 3);
        let before = processor_time(pid).expect("time");
        let mut value = 0_u64;
        while processor_time(pid).expect("time") < before + Duration::from_millis(20) {
            value = std::hint::black_box(value.wrapping_add(1));
        }
        let since = Cpu { busy: 0, idle: 0 };
        assert!((0.0..=1.0).contains(&cpu(0).expect("the first").busy_since(&since)));
        assert!(kernel_memory().expect("memory") > 1 << 20);
    }
}
