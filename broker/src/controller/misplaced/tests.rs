//! Directories under wrong names, on a real file system: what follows from the ids is done, whatever step a crash
//! comes after, and nothing else is.

use logspine_cluster::metadata::{MetadataRecord, Partition};
use logspine_storage::{Disk, RealDisk};

use super::*;

const BROKER: BrokerId = BrokerId(3);

fn id(topic: &str) -> TopicId {
    TopicId([topic.as_bytes()[0]; 16])
}

/// Topics `a`, `b` and `c` with so many partitions each.
fn image(partitions: [i32; 3]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for (name, count) in ["a", "b", "c"].into_iter().zip(partitions) {
        image.replay(&MetadataRecord::Topic { name: name.to_owned(), topic_id: id(name) });
        for index in (0..count).map(PartitionIndex) {
            let partition = Partition { replicas: vec![BROKER], ..Partition::default() };
            image.replay(&MetadataRecord::Partition { topic_id: id(name), index, partition });
        }
    }
    image
}

/// A data directory with `name=content` for each partition directory: the content names topic and index.
struct Place {
    _root: tempfile::TempDir,
    log_dir: LogDir,
}

impl Place {
    fn with(directories: &[(&str, &str)]) -> Place {
        let root = tempfile::tempdir().unwrap();
        let log_dir = LogDir::open(Arc::new(RealDisk), root.path()).unwrap();
        for (name, content) in directories {
            let dir = root.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let text = format!("version: 0\ntopic_id: {}", id(content));
            std::fs::write(dir.join("partition.metadata"), text).unwrap();
            std::fs::write(dir.join("content"), content).unwrap();
        }
        Place { _root: root, log_dir }
    }

    /// Renames as often as something follows, at most `steps` times; what is withheld then.
    fn put_right(&self, image: &MetadataImage, steps: usize) -> Vec<(TopicId, i32)> {
        for _ in 0..steps {
            let contents = self.log_dir.contents().unwrap();
            let Some(Rename { from, to }) = Survey::of(image, BROKER, &self.log_dir, &contents).next() else {
                break;
            };
            assert!(!to.exists(), "{} is taken", to.display());
            RealDisk.rename(&from, &to).unwrap();
        }
        let contents = self.log_dir.contents().unwrap();
        let mut withheld: Vec<_> =
            Survey::of(image, BROKER, &self.log_dir, &contents).withheld().into_keys().collect();
        withheld.sort();
        withheld
    }

    fn content(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.log_dir.path().join(name).join("content")).ok()
    }
}

#[test]
fn two_that_changed_places_change_back_whatever_their_indexes() {
    let place = Place::with(&[("a-0", "b1"), ("b-0", "b0"), ("b-1", "a0")]);
    assert_eq!(place.put_right(&image([1, 2, 0]), 9), []);
    let found = ["a-0", "b-0", "b-1"].map(|name| place.content(name).unwrap());
    assert_eq!(found, ["a0", "b0", "b1"]);
}

#[test]
fn a_ring_of_three_is_put_right_from_wherever_a_crash_left_it() {
    for steps in 0..5 {
        let place = Place::with(&[("a-0", "b"), ("b-0", "c"), ("c-0", "a")]);
        place.put_right(&image([1, 1, 1]), steps);
        assert_eq!(place.put_right(&image([1, 1, 1]), 9), [], "after {steps} steps");
        let found = ["a-0", "b-0", "c-0"].map(|name| place.content(name).unwrap());
        assert_eq!(found, ["a", "b", "c"], "after {steps} steps");
    }
}

#[test]
fn what_has_two_explanations_is_left_and_withheld() {
    // All of two topics: which index was which is in no file.
    let place = Place::with(&[("a-0", "b"), ("a-1", "b"), ("b-0", "a"), ("b-1", "a")]);
    let all = [(id("a"), 0), (id("a"), 1), (id("b"), 0), (id("b"), 1)];
    assert_eq!(place.put_right(&image([2, 2, 0]), 9), all);
    assert_eq!(place.content("a-0").as_deref(), Some("b"));
}

#[test]
fn a_directory_whose_place_is_empty_is_not_moved_and_its_topic_does_not_begin_anew() {
    // Perhaps a copy of a partition that is gone, perhaps of another one.
    let place = Place::with(&[("a-0", "b")]);
    assert_eq!(place.put_right(&image([1, 1, 0]), 9), [(id("a"), 0), (id("b"), 0)]);
    assert_eq!(place.content("a-0").as_deref(), Some("b"));
}

#[test]
fn a_copy_beside_a_whole_topic_withholds_nothing_but_the_name_that_it_took() {
    let place = Place::with(&[("a-0", "a"), ("b-0", "b"), ("b-1", "b"), ("x-0", "a"), ("a-7", "a")]);
    assert_eq!(place.put_right(&image([1, 2, 0]), 9), [(id("a"), 7)], "should partition 7 be made one day");
}

#[test]
fn the_sentence_names_the_directory_the_topic_and_the_remedy() {
    let place = Place::with(&[("a-0", "b")]);
    let image = image([1, 1, 0]);
    let contents = place.log_dir.contents().unwrap();
    let mut withheld = Survey::of(&image, BROKER, &place.log_dir, &contents).withheld();
    let said = withheld.remove(&(id("a"), 0)).unwrap().to_string();
    assert!(said.contains("/a-0 holds a partition of topic b") && said.contains("stop the broker"), "{said}");
    let said = withheld.remove(&(id("b"), 0)).unwrap().to_string();
    assert!(said.contains("/b-0 may be what lies in") && said.contains("/a-0 under another name"), "{said}");
}
