//! Watches a process's system calls by strace, and reads them back as completed calls in order.
//!
//! A call counts where it *returned*: a sync is done when it comes back, so a call that strace splits into
//! "unfinished" and "resumed" stands at the place of its second half, except that a send stands at its start, where
//! the bytes may already leave. So "the sync returned before the answer was sent" is a comparison of places.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// One system call: its name, its arguments as strace prints them (descriptors with path or socket), its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    pub arguments: String,
    pub result: i64,
}

/// A running strace.
pub struct Strace {
    child: Child,
    out: PathBuf,
}

impl Strace {
    /// Attaches to every thread of `pid`; `calls` is strace's own list, such as `fdatasync,sendto`.
    pub fn attach(pid: u32, calls: &str, out: &Path) -> anyhow::Result<Strace> {
        let trace = format!("trace={calls}");
        let child = Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-yy",
                "-s",
                "0",
                "-e",
                &trace,
                "-e",
                "signal=none",
                "-p",
                &pid.to_string(),
                "-o",
            ])
            .arg(out)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start strace")?;
        let strace = Strace { child, out: out.to_path_buf() };
        strace.wait_attached(pid)?;
        Ok(strace)
    }

    /// Attached means that the kernel names a tracer for every thread.
    fn wait_attached(&self, pid: u32) -> anyhow::Result<()> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            let threads: Vec<_> =
                std::fs::read_dir(format!("/proc/{pid}/task"))?.collect::<Result<_, _>>()?;
            let traced = |task: &std::fs::DirEntry| {
                let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
                status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
            };
            if threads.iter().all(traced) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10)); // Polls another process's state in /proc.
        }
        anyhow::bail!("strace did not attach to {pid} within 10 s")
    }

    /// Detaches and returns the calls in order.
    pub fn stop(mut self) -> anyhow::Result<Vec<Call>> {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "cannot interrupt strace");
        self.child.wait()?;
        Ok(parse(&std::fs::read_to_string(&self.out)?))
    }
}

/// Reads strace's output; sends stand where they began, everything else where it returned.
pub fn parse(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut begun: BTreeMap<&str, (String, Option<usize>)> = BTreeMap::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(head) = rest.strip_suffix("<unfinished ...>") {
            let place = is_send(head).then(|| {
                calls.push(Call { name: String::new(), arguments: String::new(), result: 0 });
                calls.len() - 1
            });
            begun.insert(thread, (head.trim_end().to_owned(), place));
        } else if let Some(tail) = rest.strip_prefix("<... ") {
            let Some((head, place)) = begun.remove(thread) else { continue };
            let Some((_, tail)) = tail.split_once(" resumed>") else { continue };
            let Some(call) = parse_call(&format!("{head}{tail}")) else { continue };
            match place {
                Some(place) => calls[place] = call,
                None => calls.push(call),
            }
        } else if let Some(call) = parse_call(rest) {
            calls.push(call);
        }
    }
    calls.retain(|call| !call.name.is_empty());
    calls
}

fn is_send(head: &str) -> bool {
    ["send", "write", "pwrite"].iter().any(|name| head.starts_with(name))
}

fn parse_call(text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')')?.to_owned();
    let result = result.split(' ').next()?.parse().ok()?;
    Some(Call { name: name.to_owned(), arguments, result })
}

#[cfg(test)]
mod tests {
    use super::{Call, parse};

    fn call(name: &str, arguments: &str, result: i64) -> Call {
        Call { name: name.into(), arguments: arguments.into(), result }
    }

    #[test]
    fn a_split_sync_stands_where_it_returned_and_a_split_send_where_it_began() {
        let text = "\
11 fdatasync(7</d/t-0/0.log> <unfinished ...>
12 sendto(9<TCP:[127.0.0.1:9092->127.0.0.1:5]>, \"\"..., 60, MSG_NOSIGNAL, NULL, 0 <unfinished ...>
11 <... fdatasync resumed>)               = 0
12 <... sendto resumed>)                  = 60
11 fsync(8</d/t-0>)                       = 0
";
        let socket = "9<TCP:[127.0.0.1:9092->127.0.0.1:5]>, \"\"..., 60, MSG_NOSIGNAL, NULL, 0";
        assert_eq!(
            parse(text),
            vec![
                call("sendto", socket, 60),
                call("fdatasync", "7</d/t-0/0.log>", 0),
                call("fsync", "8</d/t-0>", 0),
            ]
        );
    }

    #[test]
    fn a_failed_call_keeps_its_result() {
        assert_eq!(
            parse("1 fdatasync(3</x>) = -1 EIO (Input/output error)\n"),
            vec![call("fdatasync", "3</x>", -1)]
        );
    }
}
