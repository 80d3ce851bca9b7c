//! Ctrl-C and SIGTERM: what runs is ended, what was made is removed, and only then does the command end.
//!
//! Invariants: after the first signal the program that is waited for is ended by its id and no other is started, so
//! that the work fails where it is; `cleaning_up` lifts that for the removal. A second signal ends
//! the command at once. Commands that do not call `watch` end at the first signal, as any program does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
static CLEANING: AtomicBool = AtomicBool::new(false);

/// What a shell reports for a program that Ctrl-C ended.
const EXIT_CODE: i32 = 130;

/// From now on a signal ends the work and not the command.
pub fn watch() -> anyhow::Result<()> {
    let interrupted = INTERRUPTED.get_or_init(Default::default);
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset and sets it, the second one finds it set.
        flag::register_conditional_shutdown(signal, EXIT_CODE, Arc::clone(interrupted))
            .and_then(|_| flag::register(signal, Arc::clone(interrupted)))
            .context("cannot listen for signals")?;
    }
    Ok(())
}

/// An error once the command was interrupted: what waits or starts something asks first.
pub fn check() -> anyhow::Result<()> {
    let interrupted = INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::SeqCst));
    if interrupted && !CLEANING.load(Ordering::SeqCst) {
        bail!("interrupted");
    }
    Ok(())
}

/// Does the work, then removes what it made, also after a failure or an interruption. The first error is told.
pub fn cleaning_up<T>(
    work: impl FnOnce() -> anyhow::Result<T>,
    remove: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    let done = work().and_then(|value| check().map(|()| value));
    CLEANING.store(true, Ordering::SeqCst);
    let removed = remove();
    CLEANING.store(false, Ordering::SeqCst);
    let value = done?;
    removed.map(|()| value)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::demo::Background;
    use crate::process::{Program, signal};

    #[test]
    fn what_was_made_is_removed_after_a_failure_and_the_failure_is_told() {
        let mut removed = false;
        let failed: anyhow::Result<()> = cleaning_up(
            || bail!("the story ended badly"),
            || {
                removed = true;
                bail!("and the removal failed too")
            },
        );
        assert_eq!(failed.unwrap_err().to_string(), "the story ended badly");
        assert!(removed);
        let kept: anyhow::Result<()> = cleaning_up(|| Ok(()), || bail!("it cannot be removed"));
        assert_eq!(kept.unwrap_err().to_string(), "it cannot be removed");
    }

    /// Names the folder of the command that is interrupted; this test binary plays it.
    const PLAYED: &str = "LOGSPINE_XTASK_INTERRUPTED_IN";

    /// Makes a folder, starts a child that goes on for ever and one that is waited for, and cleans up.
    fn play(folder: &Path) {
        watch().unwrap();
        let made = folder.join("made");
        let work = || {
            std::fs::create_dir(&made)?;
            let background = Background(Program::new("sleep").arg("600").start()?);
            std::fs::write(folder.join("background"), background.0.id().to_string())?;
            Program::new("sleep").arg("600").run(None)
        };
        let ended = cleaning_up(work, || Program::new("rmdir").arg(&made).run(None).map(|_| ()));
        std::fs::write(folder.join("told"), format!("{:?}", ended.map_err(|error| error.to_string())))
            .unwrap();
    }

    #[test]
    fn an_interruption_ends_the_children_and_removes_what_was_made() {
        if let Some(folder) = std::env::var_os(PLAYED) {
            return play(Path::new(&folder));
        }
        for name in ["INT", "TERM"] {
            let folder = tempfile::tempdir().unwrap();
            let mut played = Command::new(std::env::current_exe().unwrap());
            let test = "interrupt::tests::an_interruption_ends_the_children_and_removes_what_was_made";
            played.args(["--exact", test]).env(PLAYED, folder.path()).stdout(Stdio::null());
            let mut played = played.spawn().unwrap();
            let background = await_file(&folder.path().join("background"));
            signal(played.id(), name);
            let told = await_file(&folder.path().join("told"));
            assert!(told.contains("sleep 600") || told.contains("interrupted"), "{told}");
            assert!(played.wait().unwrap().success());
            assert!(!folder.path().join("made").exists(), "SIG{name} left the folder");
            let stat = std::fs::read_to_string(format!("/proc/{background}/stat")).unwrap_or_default();
            assert!(stat.is_empty() || stat.contains(") Z "), "SIG{name} left a child: {stat}");
        }
    }

    fn await_file(path: &Path) -> String {
        let started = Instant::now();
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) if !text.is_empty() => return text,
                _ => assert!(started.elapsed() < Duration::from_secs(20), "no {}", path.display()),
            }
            std::thread::yield_now();
        }
    }
}
