//! `logspine import-kafka`: takes the directories of a stopped Apache Kafka node over into a data directory of ours.
//!
//! In this order: look at everything and refuse what cannot be taken (`plan`); mark the target as unfinished and
//! bring the files over (`target`, `transfer`); open every log once, so that it is whole and its open transactions
//! are known (`take_over`); write our metadata log, checkpoints and identity; take the mark away; report. A crash
//! anywhere leaves Kafka's directories as they are (with `--move`: the partitions on one side or the other), a target
//! that no broker starts on, and an import that can be run again.

mod groups;
mod plan;
mod progress;
mod report;
mod take_over;
pub mod target;
pub(super) mod transfer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::error::KafkaError;
use super::metadata::KafkaMetadata;
use super::node::KafkaNode;
use crate::cli::output::OutputArgs;
use plan::Plan;
use progress::Progress;
use report::Report;
use target::Target;
use transfer::Mode;

const EXAMPLES: &str = "\
Examples:
  logspine import-kafka /var/lib/kafka --data-dir /var/lib/logspine
  logspine import-kafka /disk1/kafka /disk2/kafka --data-dir /disk1/logspine --abort-open-transactions
  logspine broker --data-dir /var/lib/logspine --override node.id=1

Kafka must be stopped. Its directories stay as they are unless --move is given: sealed segments are hard links
where both lie on one file system (they are never written again, by neither), everything else is copied.
Exit codes: 0 done, 1 refused.";

/// `logspine import-kafka`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportKafkaCommand {
    /// The log directories of the node (log.dirs), and metadata.log.dir if that is another
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Where to: an empty directory, or one that does not exist
    #[arg(long, value_name = "OUT", default_value = "./data")]
    data_dir: PathBuf,
    /// Copy sealed segments, too, instead of linking them
    #[arg(long, conflicts_with = "move_dirs")]
    copy: bool,
    /// Move the partition directories: takes no time and no room, and Kafka cannot start again without them
    #[arg(long = "move")]
    move_dirs: bool,
    /// End transactions that were open when Kafka stopped, so that read_committed goes on behind them
    #[arg(long)]
    abort_open_transactions: bool,
    /// Leave a topic out; may be repeated
    #[arg(long = "exclude-topic", value_name = "TOPIC")]
    exclude_topics: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl ImportKafkaCommand {
    /// Imports and prints the report.
    pub fn run(self) -> ExitCode {
        let report = match self.import() {
            Ok(report) => report,
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        };
        match self.output.print(|| report.table(), || report.json()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        }
    }

    fn mode(&self) -> Mode {
        match (self.copy, self.move_dirs) {
            (_, true) => Mode::Move,
            (true, _) => Mode::Copy,
            _ => Mode::Link,
        }
    }

    fn import(&self) -> Result<Report, KafkaError> {
        let node = KafkaNode::open(&self.dirs)?;
        target::check_apart(&self.data_dir, &node)?;
        let metadata = KafkaMetadata::read(&node.metadata_dir, node.metadata_tail())?;
        let mut target = Target::open(&self.data_dir, self.mode())?;
        let plan = Plan::of(&node, &metadata, &self.exclude_topics, target.partition_dirs())?;
        target.begin(self.mode())?;
        let mut progress = Progress::new(&plan);
        let mut report = Report::new(&node, &metadata, &plan, target.path());
        for partition in &plan.partitions {
            target.take(partition, self.mode())?;
            let taken = take_over::take_over(target.log_dir(), partition, self.abort_open_transactions)?;
            target.note(partition, &taken);
            report.took(partition, taken);
            progress.one_done(partition.bytes);
        }
        report.groups = groups::count(target.log_dir(), &plan)?;
        target.finish(&node, &metadata, &plan)?;
        progress.finish();
        Ok(report)
    }
}

/// Absolute, whether it exists or not.
fn absolute(path: &Path) -> Result<PathBuf, KafkaError> {
    let absolute = std::path::absolute(path).map_err(super::error::io_at("find", path))?;
    Ok(absolute.canonicalize().unwrap_or(absolute))
}
