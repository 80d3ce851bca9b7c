//! `meta.properties`: whose data directory this is. Java properties, version 1 (KRaft).
//!
//! A directory of another cluster or node must stop the start; that comparison is the caller's, this file only
//! reads and writes. Unknown keys are kept out. Kafka: `MetaProperties`, `MetaPropertiesVersion`.

use logspine_protocol::types::TopicId;

/// The identity of a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    /// `cluster.id`
    pub cluster_id: String,
    /// `node.id`
    pub node_id: i32,
    /// `directory.id` (KIP-858)
    pub directory_id: TopicId,
}

impl MetaProperties {
    pub(crate) fn format(&self) -> String {
        format!(
            "#\nversion=1\nnode.id={}\ndirectory.id={}\ncluster.id={}\n",
            self.node_id, self.directory_id, self.cluster_id
        )
    }

    /// The first mistake, and its line, from 0.
    pub(crate) fn parse(content: &[u8]) -> Result<MetaProperties, (u64, Mistake)> {
        let text = std::str::from_utf8(content).map_err(|_| (0, Mistake::text("it is not text")))?;
        let (mut version, mut cluster_id, mut node_id, mut directory_id) = (None, None, None, None);
        for (number, line) in (0..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let mistake = |what: &str| (number, Mistake::Text(format!("{line:?} {what}")));
            let (key, value) = line.split_once(['=', ':']).ok_or_else(|| mistake("is no property"))?;
            let value = value.trim().replace('\\', "");
            let refuse = || mistake("has an unusable value");
            match key.trim() {
                "version" if value == "1" => version = Some(()),
                "version" => {
                    let other = value.parse().map_err(|_| refuse())?;
                    return Err((number, Mistake::OtherVersion(other)));
                }
                "cluster.id" => cluster_id = Some(value),
                "node.id" => node_id = Some(value.parse().map_err(|_| refuse())?),
                "directory.id" => directory_id = Some(value.parse().map_err(|_| refuse())?),
                _ => {}
            }
        }
        let missing = |key| (0, Mistake::Text(format!("{key} is missing")));
        version.ok_or_else(|| missing("version"))?;
        Ok(MetaProperties {
            cluster_id: cluster_id.ok_or_else(|| missing("cluster.id"))?,
            node_id: node_id.ok_or_else(|| missing("node.id"))?,
            directory_id: directory_id.unwrap_or(TopicId::ZERO),
        })
    }
}

/// Why the file says nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Another program's, or another time's: sound perhaps, and not ours to touch.
    OtherVersion(u32),
    Text(String),
}

impl Mistake {
    fn text(words: &str) -> Mistake {
        Mistake::Text(words.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_readable_by_kafka_and_kafkas_by_us() {
        let ours =
            MetaProperties { cluster_id: "abc".to_owned(), node_id: 3, directory_id: TopicId([7; 16]) };
        assert_eq!(MetaProperties::parse(ours.format().as_bytes()), Ok(ours));
        let kafkas = b"#\n#Tue Nov 24 10:00:00 UTC 2026\ncluster.id=5L6g3nShT-eMCtK--X86sw\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\nnode.id=1\nversion=1\n";
        let read = MetaProperties::parse(kafkas).unwrap();
        assert_eq!((read.node_id, read.cluster_id.as_str()), (1, "5L6g3nShT-eMCtK--X86sw"));
    }

    #[test]
    fn another_version_or_a_missing_id_names_its_line() {
        let mistake = |content: &[u8]| MetaProperties::parse(content).unwrap_err();
        assert_eq!(mistake(b"version=2\n"), (0, Mistake::OtherVersion(2)));
        assert_eq!(mistake(b"#\nversion=1\nnode.id=x\n").0, 1 + 1);
        assert_eq!(mistake(b"version=1\nnode.id=1\n"), (0, Mistake::text("cluster.id is missing")));
        assert_eq!(mistake(b"cluster.id=a\nnode.id=1\n"), (0, Mistake::text("version is missing")));
        assert_eq!(mistake(b"#\nversion=\x7f\n").0, 1);
    }
}
