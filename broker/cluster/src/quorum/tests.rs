//! Three voters in memory under loss, reordering and restarts; and the promises of the single voter.
//! A failure prints its seed: `Simulation::new(seed)` repeats it exactly.

use std::collections::BTreeMap;

use super::*;

/// What one voter keeps on its imaginary disk.
type Disk = Restored;

fn write(disk: &mut Disk, ready: &Ready) {
    if let Some(mark) = &ready.snapshot {
        disk.snapshot = mark.clone();
        disk.entries.clear();
    }
    if let Some(from) = ready.truncate_from {
        disk.entries.retain(|entry| entry.index < from);
    }
    disk.entries.extend(ready.entries.iter().cloned());
    if let Some(hard_state) = ready.hard_state {
        disk.hard_state = hard_state;
    }
}

/// Runs the cycle until nothing is left, as the driver of a lone broker does.
fn drain(quorum: &mut Quorum, disk: &mut Disk) -> Vec<Entry> {
    let mut committed = Vec::new();
    while let Some(ready) = quorum.ready() {
        write(disk, &ready);
        committed.extend(ready.committed);
        committed.extend(quorum.persisted().committed);
    }
    committed
}

#[test]
fn a_single_voter_leads_without_a_tick_and_commits_in_one_sync() {
    let mut disk = Disk::default();
    let mut quorum = Quorum::start(QuorumConfig::single(0), disk.clone()).unwrap();
    assert!(quorum.is_leader());
    let index = quorum.propose(b"topic".to_vec()).unwrap();
    let ready = quorum.ready().expect("term, vote, no-op and the proposal wait for the disk");
    assert!(ready.must_sync);
    assert!(ready.committed.is_empty(), "nothing is committed before the sync");
    assert_eq!(ready.hard_state.map(|h| (h.term, h.vote)), Some((1, Some(0))));
    write(&mut disk, &ready);
    let committed = quorum.persisted().committed;
    assert_eq!(committed.last().map(|e| (e.index, e.payload.as_slice())), Some((index, b"topic".as_slice())));
}

#[test]
fn a_restart_hands_out_every_entry_again_even_when_the_commit_hint_was_lost() {
    let mut disk = Disk::default();
    let mut quorum = Quorum::start(QuorumConfig::single(3), disk.clone()).unwrap();
    for n in 0..5u8 {
        quorum.propose(vec![n]).unwrap();
    }
    drain(&mut quorum, &mut disk);
    disk.hard_state.commit = 0;
    let mut quorum = Quorum::start(QuorumConfig::single(3), disk.clone()).unwrap();
    let replayed = drain(&mut quorum, &mut disk);
    let payloads: Vec<_> = replayed.iter().filter(|e| !e.payload.is_empty()).map(|e| e.payload[0]).collect();
    assert_eq!(payloads, [0, 1, 2, 3, 4]);
    assert_eq!(quorum.term(), 2, "each start is a new term, hence a new leader epoch");
}

#[test]
fn after_a_snapshot_only_the_tail_is_kept_and_replayed() {
    let mut disk = Disk::default();
    let mut quorum = Quorum::start(QuorumConfig::single(0), disk.clone()).unwrap();
    for n in 0..5u8 {
        quorum.propose(vec![n]).unwrap();
    }
    drain(&mut quorum, &mut disk);
    quorum.compact(4);
    disk.snapshot = SnapshotMark { index: 4, term: 1 };
    disk.entries.retain(|e| e.index > 4);
    let mut quorum = Quorum::start(QuorumConfig::single(0), disk.clone()).unwrap();
    let replayed = drain(&mut quorum, &mut disk);
    assert_eq!(replayed.iter().map(|e| e.index).collect::<Vec<_>>(), [5, 6, 7]);
}

#[test]
fn damaged_state_is_refused_with_words() {
    let start =
        |restored| Quorum::start(QuorumConfig::single(0), restored).map(|_| ()).unwrap_err().to_string();
    let entry = |index, term| Entry { index, term, payload: vec![] };
    let hard_state = |term, commit| HardState { term, vote: Some(0), commit };
    let entries = vec![entry(1, 1), entry(3, 1)];
    assert_eq!(
        start(Restored { hard_state: hard_state(1, 0), entries, ..Default::default() }),
        "the log has entry 3 where 2 was expected"
    );
    assert_eq!(
        start(Restored { entries: vec![entry(1, 2), entry(2, 1)], ..Default::default() }),
        "entry 2 has term 1, below the term 2 of the entry before it"
    );
    assert_eq!(
        start(Restored { hard_state: hard_state(1, 9), entries: vec![entry(1, 1)], ..Default::default() }),
        "commit index 9 lies beyond the log, which ends at 1"
    );
}

#[test]
fn a_crash_between_the_entries_and_the_vote_of_a_new_term_does_not_stop_the_start() {
    let mut disk = Disk::default();
    let mut quorum = Quorum::start(QuorumConfig::single(0), disk.clone()).unwrap();
    quorum.propose(b"topic".to_vec()).unwrap();
    let ready = quorum.ready().unwrap();
    write(&mut disk, &Ready { hard_state: None, ..ready });
    let mut quorum = Quorum::start(QuorumConfig::single(0), disk.clone()).unwrap();
    let committed = drain(&mut quorum, &mut disk);
    assert_eq!(quorum.term(), 2, "term 1 is in the log, so the next one is 2");
    assert!(committed.iter().any(|entry| entry.payload == b"topic"));
}

#[test]
#[should_panic(expected = "`propose` between `ready` and `persisted`")]
fn the_cycle_cannot_be_broken() {
    let mut quorum = Quorum::start(QuorumConfig::single(0), Restored::default()).unwrap();
    quorum.ready();
    let _ = quorum.propose(vec![1]);
}

/// Three voters, a lossy and reordering network, and a disk that keeps what was synced.
struct Simulation {
    random: u64,
    nodes: Vec<Option<Quorum>>,
    disks: Vec<Disk>,
    network: Vec<Message>,
    /// Percent of messages that vanish.
    loss: u64,
    /// What each node applied since its last start, by index.
    applied: Vec<BTreeMap<u64, Entry>>,
    /// What any node ever applied at an index: must never be contradicted.
    agreed: BTreeMap<u64, Entry>,
    proposed: u64,
    trace: u64,
    leaders: BTreeMap<u64, NodeId>,
}

impl Simulation {
    fn new(seed: u64, loss: u64) -> Self {
        let mut simulation = Self {
            random: seed,
            nodes: vec![None, None, None],
            disks: vec![Disk::default(); 3],
            network: Vec::new(),
            loss,
            applied: vec![BTreeMap::new(); 3],
            agreed: BTreeMap::new(),
            proposed: 0,
            trace: 0,
            leaders: BTreeMap::new(),
        };
        (0..3).for_each(|n| simulation.restart(n));
        simulation
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random) % below
    }

    fn restart(&mut self, node: usize) {
        let node_id = NodeId::try_from(node).unwrap();
        let config = QuorumConfig {
            node_id,
            voters: vec![0, 1, 2],
            election_ticks: 10,
            heartbeat_ticks: 2,
            seed: self.random,
        };
        self.applied[node].clear();
        self.nodes[node] = Some(Quorum::start(config, self.disks[node].clone()).unwrap());
    }

    fn note(&mut self, what: impl std::fmt::Debug) {
        for byte in format!("{what:?}").bytes() {
            self.trace = mix(self.trace ^ u64::from(byte));
        }
    }

    fn apply(&mut self, node: usize, committed: Vec<Entry>) {
        for entry in committed {
            self.note((node, &entry));
            let agreed = self.agreed.entry(entry.index).or_insert_with(|| entry.clone());
            assert_eq!(*agreed, entry, "two nodes applied different entries");
            self.applied[node].insert(entry.index, entry);
        }
    }

    /// Power fails while `ready` is being written: nothing of it, its entries, or all of it is on disk.
    fn crash(&mut self, node: usize, mut ready: Ready) {
        let reached = self.draw(3);
        if reached < 2 {
            ready.hard_state = None;
        }
        if reached > 0 {
            write(&mut self.disks[node], &ready);
        }
        self.nodes[node] = None;
    }

    /// One node's cycle. With `crash`, power fails before `persisted` is heard.
    fn cycle(&mut self, node: usize, crash: bool) {
        for _ in 0..100 {
            let Some(quorum) = self.nodes[node].as_mut() else { return };
            let Some(ready) = quorum.ready() else { return };
            self.network.extend(ready.messages.iter().cloned());
            if crash {
                self.crash(node, ready);
                return;
            }
            write(&mut self.disks[node], &ready);
            let persisted = quorum.persisted();
            if quorum.is_leader() {
                let (term, id) = (quorum.term(), NodeId::try_from(node).unwrap());
                assert_eq!(*self.leaders.entry(term).or_insert(id), id, "two leaders in term {term}");
            }
            self.network.extend(persisted.messages);
            self.apply(node, ready.committed);
            self.apply(node, persisted.committed);
        }
        panic!("a cycle does not end");
    }

    fn deliver(&mut self) {
        for _ in 0..self.network.len() {
            let picked = usize::try_from(self.draw(self.network.len() as u64)).unwrap();
            let message = self.network.swap_remove(picked);
            let lost = self.draw(100) < self.loss;
            let to = usize::try_from(message.to).unwrap();
            if let (false, Some(quorum)) = (lost, self.nodes[to].as_mut()) {
                let _ = quorum.step(message);
                self.cycle(to, false);
            }
        }
    }

    fn round(&mut self, faults: bool) {
        for node in 0..3 {
            match self.nodes[node].as_mut() {
                Some(quorum) => {
                    quorum.tick();
                    if quorum.is_leader() && quorum.propose(self.proposed.to_be_bytes().to_vec()).is_ok() {
                        self.proposed += 1;
                    }
                    let crash = faults && self.draw(60) == 0;
                    self.cycle(node, crash);
                }
                None => self.restart(node),
            }
        }
        self.deliver();
    }

    fn run(seed: u64, loss: u64, rounds: usize, faults: bool) -> Self {
        let mut simulation = Self::new(seed, loss);
        (0..rounds).for_each(|_| simulation.round(faults));
        simulation
    }
}

#[test]
fn three_voters_elect_one_and_replicate_to_all() {
    let mut simulation = Simulation::run(7, 0, 100, false);
    let target = simulation.agreed.len();
    assert!(target > 50, "only {target} entries in 100 rounds");
    (0..5).for_each(|_| simulation.round(false));
    for node in 0..3 {
        assert!(simulation.applied[node].len() >= target, "node {node} lags behind");
    }
    assert_eq!(simulation.leaders.len(), 1);
}

#[test]
fn loss_reordering_and_crashes_never_make_two_nodes_disagree() {
    for seed in 1..=20 {
        eprintln!("seed {seed}");
        let mut simulation = Simulation::run(seed, 10, 600, true);
        assert!(simulation.agreed.len() > 100, "seed {seed}: only {} entries", simulation.agreed.len());
        simulation.loss = 0;
        let before = simulation.agreed.len();
        (0..100).for_each(|_| simulation.round(false));
        assert!(simulation.agreed.len() > before, "seed {seed}: no progress after the faults ended");
        let last = *simulation.agreed.keys().nth(before).unwrap();
        let reached = (0..3).filter(|n| simulation.applied[*n].contains_key(&last)).count();
        assert_eq!(reached, 3, "seed {seed}: entry {last} did not reach everybody");
    }
}

#[test]
fn one_seed_gives_one_trace() {
    let trace = |seed| Simulation::run(seed, 10, 300, true).trace;
    assert_eq!(trace(42), trace(42));
    assert_ne!(trace(42), trace(43), "the trace must depend on the seed, or it proves nothing");
}

#[test]
fn a_stale_rejection_does_not_pull_the_leader_below_what_matched() {
    let mut simulation = Simulation::run(7, 0, 60, false);
    let leader = (0..3).find(|n| simulation.nodes[*n].as_ref().is_some_and(Quorum::is_leader)).unwrap();
    let quorum = simulation.nodes[leader].as_mut().unwrap();
    let (follower, matched) =
        *quorum.matched_indexes().iter().find(|(id, _)| *id as usize != leader).unwrap();
    let stale = Message {
        kind: MessageKind::AppendResponse,
        from: follower,
        to: NodeId::try_from(leader).unwrap(),
        term: quorum.term(),
        log_term: 0,
        index: matched,
        entries: vec![],
        commit: 0,
        commit_term: 0,
        snapshot: None,
        request_snapshot: 0,
        reject: true,
        reject_hint: 1,
        priority: 0,
        context: vec![],
    };
    quorum.step(stale).unwrap();
    let progress = quorum.node.raft.prs().get(convert::to_raft_id(follower)).unwrap();
    assert!(progress.next_idx > progress.matched);
}
