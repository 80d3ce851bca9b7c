//! The one thread that owns the metadata log.
//!
//! It takes what waits in the queue, decides about each request, makes all of it durable with one sync (group
//! commit), publishes the new image, and only then answers. A metadata log that cannot be written promises nothing
//! more: changes are refused, the last image is served. If the disk had only refused a write, each later request
//! first opens the log again, as a restart would; after a failed sync only a restart does. The wall clock is read here and goes inward as an argument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use arc_swap::ArcSwap;
use logspine_cluster::metadata::{Input, MetadataImage, Outcome, Reply, Request};
use logspine_protocol::types::{BrokerId, Offset};
use logspine_replica::metadata_log::{MetadataLog, MetadataLogError};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, info};

use super::handle::{MetadataHandle, ProposeError};
use super::producer_ids::ProducerIds;
use super::publisher::Publisher;
use crate::clock;

/// Requests that may wait for the driver; whoever comes later waits before the queue.
const QUEUE_LEN: usize = 1024;
/// Requests that share one sync.
const BATCH_LEN: usize = 256;

/// Who waits for what became of a request.
pub type Answer = oneshot::Sender<Result<Outcome, ProposeError>>;

/// Opens the metadata log up to its newest committed record; what was durable is an argument.
pub type OpenLog = Box<dyn Fn(Offset) -> Result<MetadataLog, MetadataLogError> + Send>;

/// What the driver is told.
pub enum Command {
    /// Not begun after the deadline.
    Propose {
        request: Request,
        deadline: Option<Instant>,
        answer: Answer,
    },
    Stop,
}

/// The running thread.
pub struct ControllerThread {
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
}

impl ControllerThread {
    /// Lets the driver answer what it has taken, closes the metadata log, and waits for the thread. Blocks.
    pub fn stop(self) {
        let _ = self.commands.blocking_send(Command::Stop);
        if self.thread.join().is_err() {
            error!("the controller's thread panicked");
        }
    }
}

/// Starts the thread over a log whose image is already published.
pub fn spawn(
    log: MetadataLog,
    open_log: OpenLog,
    publisher: Publisher,
    broker: BrokerId,
    broker_epoch: i64,
) -> std::io::Result<(MetadataHandle, ControllerThread)> {
    let (commands, queue) = mpsc::channel(QUEUE_LEN);
    let image = Arc::new(ArcSwap::from_pointee(log.image().clone()));
    let (published, publications) = watch::channel(0);
    let handle = MetadataHandle {
        image: Arc::clone(&image),
        published: publications,
        commands: commands.clone(),
        broker,
        broker_epoch,
        producer_ids: Arc::new(ProducerIds::default()),
    };
    let published_index = log.raft().quorum().committed_index();
    let waiting = BTreeMap::new();
    let log = Life::Up(Box::new(log));
    let driver =
        Driver { log, open_log, publisher, image, published, published_index, waiting, next_token: 1 };
    let thread =
        std::thread::Builder::new().name("controller".to_owned()).spawn(move || driver.run(queue))?;
    Ok((handle, ControllerThread { commands, thread }))
}

/// The log, or why there is none.
enum Life {
    Up(Box<MetadataLog>),
    Down { reason: Arc<str>, durable_end: Offset, may_reopen: bool },
}

struct Driver {
    log: Life,
    open_log: OpenLog,
    publisher: Publisher,
    image: Arc<ArcSwap<MetadataImage>>,
    published: watch::Sender<u64>,
    /// Up to where the log was carried out.
    published_index: u64,
    /// Who waits for the reply with this token. At most `BATCH_LEN`: every round answers all that it took.
    waiting: BTreeMap<u64, Answer>,
    next_token: u64,
}

impl Driver {
    fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut batch = Vec::with_capacity(BATCH_LEN);
        while queue.blocking_recv_many(&mut batch, BATCH_LEN) > 0 {
            let stops = batch.iter().any(|command| matches!(command, Command::Stop));
            self.round(batch.drain(..));
            if stops {
                break;
            }
        }
        let Life::Up(log) = self.log else { return };
        match log.close() {
            Ok(()) => info!("the metadata log is closed"),
            Err(error) => error!("the metadata log did not close well: {error}"),
        }
    }

    fn round(&mut self, commands: impl Iterator<Item = Command>) {
        self.reopen();
        let asked = commands.filter_map(|command| match command {
            Command::Propose { request, deadline, answer } => Some((request, deadline, answer)),
            Command::Stop => None,
        });
        let log = match &mut self.log {
            Life::Up(log) => log,
            Life::Down { reason, .. } => {
                asked.for_each(|(_, _, answer)| refuse(answer, reason));
                return;
            }
        };
        let mut replies = Vec::new();
        for (request, deadline, answer) in asked {
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                let _ = answer.send(Err(ProposeError::TimedOut));
                continue;
            }
            let token = self.next_token;
            self.next_token += 1;
            self.waiting.insert(token, answer);
            replies.extend(log.submit(clock::steady_ms(), Input { token, request }));
        }
        match log.advance() {
            Ok(committed) => replies.extend(committed),
            Err(error) => return self.go_down(&error),
        }
        self.publish();
        replies.into_iter().for_each(|reply| self.answer(reply));
    }

    /// Tries to get a log that had to be given up.
    fn reopen(&mut self) {
        let Life::Down { durable_end, may_reopen: true, .. } = &self.log else { return };
        match (self.open_log)(*durable_end) {
            Ok(log) => {
                info!("the metadata log takes changes again");
                self.log = Life::Up(Box::new(log));
                self.publish();
            }
            Err(error) => debug!("the metadata log still takes no changes: {error}"),
        }
    }

    /// Whoever waits is told that nobody knows.
    fn go_down(&mut self, error: &MetadataLogError) {
        let Life::Up(log) = &self.log else { return };
        let durable_end = log.raft().recovery_point();
        error!("the metadata log takes no changes; topics are served as they are: {error}");
        self.publisher.disk_failed(error);
        let reason: Arc<str> = error.to_string().into();
        std::mem::take(&mut self.waiting).into_values().for_each(|answer| refuse(answer, &reason));
        self.log = Life::Down { reason, durable_end, may_reopen: error.is_refused_write() };
    }

    fn publish(&mut self) {
        let Life::Up(log) = &self.log else { return };
        self.publisher.note_recovery_point(log.raft().recovery_point());
        let committed_index = log.raft().quorum().committed_index();
        if committed_index == self.published_index {
            return;
        }
        self.published_index = committed_index;
        let before = self.image.load_full();
        let after = log.image();
        let delta = after.topics_since(&before);
        self.publisher.before_image(&before, after, &delta);
        self.image.store(Arc::new(after.clone()));
        self.publisher.after_image(&delta);
        self.published.send_modify(|count| *count += 1);
    }

    fn answer(&mut self, reply: Reply) {
        if let Some(waiting) = self.waiting.remove(&reply.token) {
            // Nobody listens when the client's connection is gone.
            let _ = waiting.send(reply.result.map_err(ProposeError::Refused));
        }
    }
}

fn refuse(answer: Answer, reason: &Arc<str>) {
    let _ = answer.send(Err(ProposeError::NotWritable { reason: Arc::clone(reason) }));
}
