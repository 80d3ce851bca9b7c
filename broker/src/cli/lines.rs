//! The lines of standard input, read on a thread of their own and handed over in bunches.
//!
//! A bunch is what is there: one line when somebody types, thousands when a file is piped in. Bounds: bunches of
//! `BUNCH_LINES`, of which `BUNCHES` may wait; a line is as long as it is.

use std::io::{self, BufRead, BufReader, Read};

use tokio::sync::mpsc;

const BUNCH_LINES: usize = 4096;
const BUNCHES: usize = 4;

/// Starts reading. The channel ends at the end of input, or after an error.
pub fn stdin() -> mpsc::Receiver<io::Result<Vec<Vec<u8>>>> {
    let (bunches, receiver) = mpsc::channel(BUNCHES);
    std::thread::spawn(move || {
        let mut input = BufReader::with_capacity(256 << 10, io::stdin());
        while let Some(bunch) = next_bunch(&mut input).transpose() {
            let failed = bunch.is_err();
            if bunches.blocking_send(bunch).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// Waits for one line, and takes what can be had without further waiting. `None` at the end of input.
fn next_bunch(input: &mut BufReader<impl Read>) -> io::Result<Option<Vec<Vec<u8>>>> {
    let mut bunch = Vec::new();
    while bunch.is_empty() || (bunch.len() < BUNCH_LINES && input.buffer().contains(&b'\n')) {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        bunch.push(line);
    }
    Ok((!bunch.is_empty()).then_some(bunch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bunches(text: &str, buffer: usize) -> Vec<Vec<String>> {
        let mut input = BufReader::with_capacity(buffer, text.as_bytes());
        let bunches = std::iter::from_fn(|| next_bunch(&mut input).unwrap());
        let text = |line: Vec<u8>| String::from_utf8(line).unwrap();
        bunches.map(|bunch| bunch.into_iter().map(text).collect()).collect()
    }

    #[test]
    fn a_bunch_is_what_is_there() {
        assert_eq!(bunches("a\nb\nc\n", 4), [vec!["a", "b"], vec!["c"]]);
        assert_eq!(bunches("a\nb\nc\n", 64), [vec!["a", "b", "c"]]);
    }

    #[test]
    fn empty_lines_are_lines_and_the_last_needs_no_newline() {
        assert_eq!(bunches("\n\nlast", 64).concat(), ["", "", "last"]);
        assert!(bunches("", 64).is_empty());
    }
}
