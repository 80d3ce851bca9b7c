//! Judges the story that each foreign client tells (`e2e/clients/*/story*`): facts in, contradictions out.
//!
//! The story: 1000 records with five codecs; replay of all; from the middle by time; twice a group of three that
//! forms one by one and loses its first member, with 100 records written into each of its shapes, eager and
//! cooperative; replay inside of the group. What a client wrote is the truth that everything read is compared
//! with: contents, offsets, times, order, and how often. The judge is shown broken stories before it is believed.

use std::collections::{BTreeMap, BTreeSet};

const PARTITIONS: i32 = 6;
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const TIME_OF_RECORD_0: i64 = 1_700_000_000_000;
const FIRST_PART: usize = 1000;

type Place = (i32, i64);

/// A record as somebody wrote or read it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    timestamp_ms: i64,
    value: String,
}

/// Every fact of one story, in order.
#[derive(Debug, Default, Clone)]
pub struct Story {
    written: BTreeMap<Place, Told>,
    codecs: BTreeMap<String, usize>,
    read: BTreeMap<String, Vec<(Place, Told)>>,
    /// Phase, member, how many partitions it holds from now on.
    held: Vec<(String, String, i64)>,
    committed: BTreeMap<String, BTreeMap<i32, i64>>,
}

impl Story {
    pub fn parse(text: &str) -> Story {
        let mut story = Story::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            let number =
                |at: usize| words[at].parse::<i64>().unwrap_or_else(|_| panic!("not a fact: {line}"));
            match words[0] {
                "wrote" => {
                    let place = (number(2) as i32, number(3));
                    let told = Told { timestamp_ms: number(4), value: words[5].to_owned() };
                    assert!(story.written.insert(place, told).is_none(), "two records at one offset: {line}");
                    *story.codecs.entry(words[1].to_owned()).or_default() += 1;
                }
                "read" => {
                    let place = (number(2) as i32, number(3));
                    let told = Told { timestamp_ms: number(4), value: words[5].to_owned() };
                    story.read.entry(words[1].to_owned()).or_default().push((place, told));
                }
                "held" => story.held.push((words[1].to_owned(), words[2].to_owned(), number(3))),
                "committed" => {
                    let group = story.committed.entry(words[1].to_owned()).or_default();
                    group.insert(number(2) as i32, number(3));
                }
                _ => panic!("not a fact: {line}"),
            }
        }
        story
    }

    /// Shows the judge six broken stories, then lets it judge this one. Prints what was counted.
    pub fn believe(&self, teller: &str) {
        self.judge().unwrap_or_else(|contradiction| panic!("{teller}: {contradiction}"));
        for (what, broken) in self.broken() {
            assert!(broken.judge().is_err(), "the judge believes a story with {what}");
        }
        let read: usize = self.read.values().map(Vec::len).sum();
        println!("{teller}: {} records written, {read} read, nothing contradicts", self.written.len());
    }

    fn judge(&self) -> Result<(), String> {
        self.writing()?;
        self.reading("replay", |number| number < FIRST_PART)?;
        self.reading("time", |number| (500..FIRST_PART).contains(&number))?;
        self.reading("eager", |number| number < FIRST_PART + 400)?;
        self.reading("cooperative", |number| number < FIRST_PART + 800)?;
        self.reading("again", |number| number < FIRST_PART + 800)?;
        for (phase, records) in [("eager", FIRST_PART + 400), ("cooperative", FIRST_PART + 800)] {
            self.sharing(phase)?;
            self.bookmarks(phase, records)?;
        }
        Ok(())
    }

    /// Every codec wrote its 200 (uncompressed more), and offsets have no gaps.
    fn writing(&self) -> Result<(), String> {
        for codec in CODECS {
            let expected = if codec == "none" { 1000 } else { 200 };
            let wrote = self.codecs.get(codec).copied().unwrap_or_default();
            if wrote != expected {
                return Err(format!("{codec} wrote {wrote} records instead of {expected}"));
            }
        }
        for partition in 0..PARTITIONS {
            let offsets = self.written.keys().filter(|place| place.0 == partition).map(|place| place.1);
            if let Some((at, offset)) = (0..).zip(offsets).find(|(at, offset)| at != offset) {
                return Err(format!("partition {partition} has {offset} where {at} was expected"));
            }
        }
        Ok(())
    }

    /// The phase read exactly the records whose numbers are wanted, once each, in order, as they were written.
    fn reading(&self, phase: &str, wanted: impl Fn(usize) -> bool) -> Result<(), String> {
        let read = self.read.get(phase).map_or(&[][..], Vec::as_slice);
        let mut last: BTreeMap<i32, i64> = BTreeMap::new();
        for ((partition, offset), told) in read {
            let written = self.written.get(&(*partition, *offset));
            if written != Some(told) {
                return Err(format!(
                    "{phase} read {told:?} at {partition}:{offset}, written was {written:?}"
                ));
            }
            if let Some(before) = last.insert(*partition, *offset).filter(|before| before >= offset) {
                return Err(format!("{phase} read {partition}:{offset} after {partition}:{before}"));
            }
        }
        let number = |told: &Told| ((told.timestamp_ms - TIME_OF_RECORD_0) / 1000) as usize;
        let expected: BTreeSet<_> =
            self.written.iter().filter(|(_, told)| wanted(number(told))).map(|(place, _)| *place).collect();
        let got: BTreeSet<_> = read.iter().map(|(place, _)| *place).collect();
        match expected.symmetric_difference(&got).next() {
            None => Ok(()),
            Some(place) if expected.contains(place) => Err(format!("{phase} did not read {place:?}")),
            Some(place) => Err(format!("{phase} read {place:?} which was not its to read")),
        }
    }

    /// The group was of one, two and three members with equal shares, and of two again after the first left.
    fn sharing(&self, phase: &str) -> Result<(), String> {
        let mut holds: BTreeMap<&str, i64> = BTreeMap::new();
        let mut shapes = vec![vec![6], vec![3, 3], vec![2, 2, 2], vec![3, 3]].into_iter().peekable();
        for (_, member, count) in self.held.iter().filter(|held| held.0 == phase) {
            holds.insert(member, *count);
            // The first member leaves without a word: what the others hold tells that it is gone.
            let of_all: Vec<i64> = holds.values().copied().collect();
            let of_others: Vec<i64> =
                holds.iter().filter(|(name, _)| **name != "a").map(|(_, count)| *count).collect();
            if shapes.peek().is_some_and(|shape| *shape == of_all || *shape == of_others) {
                shapes.next();
            }
        }
        shapes.next().map_or(Ok(()), |shape| Err(format!("the {phase} group never had the shares {shape:?}")))
    }

    /// The group's bookmarks stand behind the last record of each partition.
    fn bookmarks(&self, phase: &str, records: usize) -> Result<(), String> {
        let number = |told: &Told| ((told.timestamp_ms - TIME_OF_RECORD_0) / 1000) as usize;
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        for ((partition, offset), _) in self.written.iter().filter(|(_, told)| number(told) < records) {
            ends.insert(*partition, offset + 1);
        }
        let committed = self.committed.get(phase).cloned().unwrap_or_default();
        if committed == ends {
            Ok(())
        } else {
            Err(format!("{phase} committed {committed:?}, the ends are {ends:?}"))
        }
    }

    /// This story with one thing wrong each time.
    fn broken(&self) -> Vec<(&'static str, Story)> {
        let with = |change: &dyn Fn(&mut Story)| {
            let mut story = self.clone();
            change(&mut story);
            story
        };
        let eager = |story: &mut Story| story.read.get_mut("eager").expect("judged before").len() / 2;
        vec![
            (
                "a lost record",
                with(&|story| {
                    let at = eager(story);
                    story.read.get_mut("eager").expect("judged").remove(at);
                }),
            ),
            (
                "a record read twice",
                with(&|story| {
                    let at = eager(story);
                    let read = story.read.get_mut("eager").expect("judged");
                    read.push(read[at].clone());
                }),
            ),
            (
                "two records swapped",
                with(&|story| {
                    let read = story.read.get_mut("replay").expect("judged");
                    let partition = read[0].0.0;
                    let second = read
                        .iter()
                        .skip(1)
                        .position(|(place, _)| place.0 == partition)
                        .expect("more than one")
                        + 1;
                    read.swap(0, second);
                }),
            ),
            (
                "a changed value",
                with(&|story| story.read.get_mut("again").expect("judged")[7].1.value.push('!')),
            ),
            (
                "a bookmark that is behind",
                with(&|story| {
                    *story.committed.get_mut("eager").expect("judged").get_mut(&0).expect("partition 0") -= 1;
                }),
            ),
            ("a member that never joined", with(&|story| story.held.retain(|held| held.1 != "c"))),
        ]
    }
}
