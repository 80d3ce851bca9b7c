//! Partition directories that lie under another partition's name, as after a restore that mixed them up: found by the
//! topic id inside, and put where they belong if there is but one way to read it.
//!
//! That is: directories of different topics that changed places in a ring, one of each topic. Then every rename
//! follows from the ids. Anything else is left as it is and the partitions concerned are withheld, with a sentence:
//! an index is in no file, and to guess would serve one partition's records as another's. Pure: from an image and
//! the names on disk to the next rename, looked at anew after each, so that a crash between two of them is a
//! state like all others. Carried out by `strays.rs`. docs/decisions/0024.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_cluster::metadata::{MetadataImage, Topic};
use logspine_protocol::types::{BrokerId, PartitionIndex, TopicId};
use logspine_storage::directory::{Contents, PartitionDir};
use logspine_storage::{LogDir, Misplaced};

/// Partitions that must not be opened, and why.
pub type Withheld = HashMap<(TopicId, i32), Misplaced>;

/// One rename towards order.
#[derive(Debug, PartialEq, Eq)]
pub struct Rename {
    pub from: PathBuf,
    pub to: PathBuf,
}

/// A directory of a topic that lives, under a name that is not the topic's.
#[derive(Debug)]
struct Displaced<'a> {
    path: &'a Path,
    /// By its id.
    topic: &'a Arc<Topic>,
    /// Moved out of the way by us; else the name it has now.
    name: Option<(&'a str, i32)>,
}

impl Displaced<'_> {
    fn is_moving(&self) -> bool {
        self.name.is_none()
    }
}

/// Where a partition should lie and its topic's id is not found.
#[derive(Debug, Clone)]
struct Vacancy {
    index: i32,
    path: PathBuf,
    is_absent: bool,
}

/// What lies where, of the topics that have directories under wrong names; empty as a rule.
pub struct Survey<'a> {
    log_dir: &'a LogDir,
    image: &'a MetadataImage,
    displaced: Vec<Displaced<'a>>,
    vacancies: BTreeMap<TopicId, Vec<Vacancy>>,
}

impl<'a> Survey<'a> {
    pub fn of(
        image: &'a MetadataImage,
        broker: BrokerId,
        log_dir: &'a LogDir,
        contents: &'a Contents,
    ) -> Survey<'a> {
        let misnamed = contents.partitions.iter().filter_map(|dir| {
            let topic = owner(image, dir)?;
            let name = Some((dir.topic.as_str(), dir.partition));
            (!is_home(topic, dir)).then_some(Displaced { path: &dir.path, topic, name })
        });
        let moving = contents
            .moving
            .iter()
            .filter_map(|(path, id)| Some(Displaced { path, topic: image.topic_by_id(*id)?, name: None }));
        let displaced: Vec<_> = misnamed.chain(moving).collect();
        let mut survey = Survey { log_dir, image, displaced, vacancies: BTreeMap::new() };
        if !survey.displaced.is_empty() {
            survey.look_for_vacancies(broker, contents);
        }
        survey
    }

    fn look_for_vacancies(&mut self, broker: BrokerId, contents: &Contents) {
        let by_path: HashMap<&Path, &PartitionDir> =
            contents.partitions.iter().map(|dir| (dir.path.as_path(), dir)).collect();
        for topic in self.displaced.iter().map(|displaced| displaced.topic) {
            let here = topic.partitions.iter().filter(|(_, partition)| partition.replicas.contains(&broker));
            let vacancies = here.filter_map(|(PartitionIndex(index), _)| {
                let path = self.log_dir.partition_path(&topic.name, *index);
                let occupant = by_path.get(path.as_path());
                let is_home = occupant.is_some_and(|dir| dir.topic_id == Some(topic.topic_id));
                (!is_home).then(|| Vacancy { index: *index, is_absent: occupant.is_none(), path })
            });
            self.vacancies.insert(topic.topic_id, vacancies.collect());
        }
    }

    /// The place of a directory, if it is the only one of its topic that looks for one and there is only one.
    fn place_of(&self, displaced: &Displaced<'_>) -> Option<&Vacancy> {
        let topic_id = displaced.topic.topic_id;
        let rivals = self.displaced.iter().filter(|other| other.topic.topic_id == topic_id).count();
        match self.vacancies.get(&topic_id).map(Vec::as_slice) {
            Some([only]) if rivals == 1 => Some(only),
            _ => None,
        }
    }

    /// What to rename next; `None` if nothing follows from the ids.
    pub fn next(&self) -> Option<Rename> {
        self.displaced.iter().find_map(|first| self.follow(first))
    }

    /// From a directory to its place, to the directory that lies there, and so on: a ring is opened by moving one out of
    /// the way, and what was opened is closed from its other end, where a place is free.
    fn follow(&self, first: &Displaced<'_>) -> Option<Rename> {
        let mut current = first;
        for _ in 0..self.displaced.len() {
            let place = self.place_of(current)?;
            if place.is_absent {
                let rename = Rename { from: current.path.to_path_buf(), to: place.path.clone() };
                return first.is_moving().then_some(rename);
            }
            let occupant = self.displaced.iter().find(|displaced| displaced.path == place.path)?;
            if std::ptr::eq(occupant, first) {
                let to = self.log_dir.moving_path(first.topic.topic_id);
                return Some(Rename { from: first.path.to_path_buf(), to });
            }
            current = occupant;
        }
        None
    }

    /// The partitions whose bytes may be among those that are not in their place, or in whose place others are.
    pub fn withheld(&self) -> Withheld {
        let mut withheld = Withheld::new();
        for displaced in &self.displaced {
            let topic = displaced.topic;
            let misnamed =
                displaced.name.and_then(|(name, index)| Some((self.image.topic_by_name(name)?, index)));
            if let Some((other, index)) = misnamed {
                let found = format!("holds a partition of topic {} (id {})", topic.name, topic.topic_id);
                let path = displaced.path.to_path_buf();
                withheld.insert((other.topic_id, index), Misplaced { path, found });
            }
            for vacancy in self.vacancies.get(&topic.topic_id).into_iter().flatten() {
                let found = format!("may be what lies in {} under another name", displaced.path.display());
                withheld
                    .entry((topic.topic_id, vacancy.index))
                    .or_insert(Misplaced { path: vacancy.path.clone(), found });
            }
        }
        withheld
    }

    /// Directories that stay where they are, with the topic that they belong to.
    pub fn left(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.displaced.iter().map(|displaced| (displaced.path, &*displaced.topic.name))
    }
}

/// The living topic whose id a directory bears.
pub fn owner<'a>(image: &'a MetadataImage, dir: &PartitionDir) -> Option<&'a Arc<Topic>> {
    dir.topic_id.and_then(|id| image.topic_by_id(id))
}

/// Whether the directory's name is that of a partition of the topic.
fn is_home(topic: &Topic, dir: &PartitionDir) -> bool {
    *topic.name == *dir.topic && topic.partitions.contains_key(&PartitionIndex(dir.partition))
}

#[cfg(test)]
mod tests;
