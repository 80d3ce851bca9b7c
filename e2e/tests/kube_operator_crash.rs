//! Promise: the operator may die after any of its writes. Whatever it was doing (creating, editing, deleting), the
//! next one brings it to its end, and no acknowledged record is lost on the way.
//!
//! For N = 1, 2, ... an operator that exits right after its Nth write is given the work; then one that lives. A row
//! ends with the first N that is larger than the number of writes that the work takes. Six lanes work side by side,
//! each in a namespace of its own: three kinds of work, even and odd N.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use logspine_e2e::kube::audit::Mark;
use logspine_e2e::kube::brokers::{CLUSTER, TOPIC, all_up_to};
use logspine_e2e::kube::manifest::{topic, with};
use logspine_e2e::kube::mortal_operator::{Life, MortalOperator, take_over};
use logspine_e2e::kube::{Brokers, Kubernetes, Story, operator, pod};
use serde_json::{Value, json};

const RECORDS: u64 = 1000;
/// No work takes more writes; a row that gets here is an operator that never rests.
const POINTS_MAX: u64 = 80;
/// Work is done when the operator has written nothing for this long.
const QUIET: Duration = Duration::from_secs(3);
const STEP_BOUND: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Create,
    Edit,
    Delete,
}

/// Work and first N of each lane.
const LANES: [(Work, u64); 6] = [
    (Work::Create, 1),
    (Work::Create, 2),
    (Work::Edit, 1),
    (Work::Edit, 2),
    (Work::Delete, 1),
    (Work::Delete, 2),
];

fn namespace(work: Work, first: u64) -> String {
    format!("e2e-crash-{}-{first}", format!("{work:?}").to_lowercase())
}

/// One kind of work for every second N, in a namespace of its own.
struct Lane<'k> {
    kube: &'k Kubernetes,
    mortal: MortalOperator<'k>,
    namespace: String,
    brokers: Brokers,
    work: Work,
    first: u64,
}

#[test]
fn the_operator_may_die_after_any_write() -> anyhow::Result<()> {
    let Some(kube) = Kubernetes::for_test("kube_operator_crash") else { return Ok(()) };
    let mut story = Story::begin("create, edit and delete converge from every crash point");
    story.step("the operator is installed", 60, || operator::install(&kube, &[]))?;
    story.step("six empty namespaces, while somebody is there to empty them", 200, || {
        let empty = |(work, first): &(Work, u64)| kube.fresh_namespace(&namespace(*work, *first));
        LANES.iter().try_for_each(empty)
    })?;
    let template = story.step("its Deployment makes way", 70, || take_over(&kube))?;
    let points = story.step("create, edit, delete: crash after each write", 1200, || lanes(&kube, &template));
    story.step("the installed operator is back", 90, || operator::install(&kube, &[]))?;
    for (work, points) in points? {
        println!("FIGURE operator crash points, {work:?}: {points}");
        // Fewer would mean that somebody else did the work.
        ensure!(points >= 5, "{work:?} has only {points} writes");
    }
    story.end();
    Ok(())
}

/// Runs all lanes and returns the number of writes of each kind of work.
fn lanes(kube: &Kubernetes, template: &Value) -> anyhow::Result<Vec<(Work, u64)>> {
    let results: Vec<(Work, anyhow::Result<u64>)> = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (index, (work, first)) in LANES.into_iter().enumerate() {
            let namespace = namespace(work, first);
            let mortal = MortalOperator::new(kube, template, &namespace);
            let brokers = Brokers::of(kube, &namespace, 30210 + index as u16);
            let mut lane = Lane { kube, mortal, namespace, brokers, work, first };
            threads.push((work, scope.spawn(move || lane.run())));
        }
        threads
            .into_iter()
            .map(|(work, thread)| (work, thread.join().expect("a lane does not panic")))
            .collect()
    });
    let mut points = vec![(Work::Create, 0), (Work::Edit, 0), (Work::Delete, 0)];
    for (work, result) in results {
        let reached = result?;
        let of_work = points.iter_mut().find(|(kind, _)| *kind == work).context("every kind has an entry")?;
        of_work.1 = of_work.1.max(reached);
    }
    Ok(points)
}

impl Lane<'_> {
    /// The last N at which the operator died.
    fn run(&mut self) -> anyhow::Result<u64> {
        self.kube.apply(&[pod::client(&self.namespace)])?;
        if self.work != Work::Create {
            self.mortal.start(None)?;
            self.complete(Work::Create, 0)?;
        }
        if self.work == Work::Edit {
            self.brokers.produce_numbers("orders", 1, RECORDS)?;
        }
        let mut last = 0;
        let result = self.row(&mut last);
        self.mortal.stop()?;
        result.with_context(|| format!("{:?}, after write {last}", self.work))?;
        self.kube.kubectl(&["delete", "namespace", &self.namespace, "--wait=false"])?;
        Ok(last)
    }

    fn row(&mut self, last: &mut u64) -> anyhow::Result<()> {
        for point in (self.first..=POINTS_MAX).step_by(2) {
            self.mortal.start(Some(point))?;
            self.begin(self.work, point)?;
            if !self.reaches_its_write()? {
                return self.check();
            }
            *last = point;
            self.mortal.start(None)?;
            self.await_done(self.work)?;
            self.check()?;
            // The one that lives makes the state from which the next point begins.
            match self.work {
                Work::Create => self.complete(Work::Delete, point)?,
                Work::Delete => self.complete(Work::Create, point)?,
                Work::Edit => {}
            }
        }
        anyhow::bail!("more than {POINTS_MAX} writes and still going on")
    }

    /// Waits until the operator exits after its Nth write (true), or is done without reaching it (false).
    fn reaches_its_write(&self) -> anyhow::Result<bool> {
        let started = Instant::now();
        let mut mark = self.kube.audit_mark()?;
        let mut quiet_since = Instant::now();
        loop {
            let life = self.mortal.life()?;
            if life == Life::ReachedItsWrite {
                return Ok(true);
            }
            if self.has_written_since(&mark)? {
                (mark, quiet_since) = (self.kube.audit_mark()?, Instant::now());
            }
            if life == Life::Running && quiet_since.elapsed() > QUIET && self.is_done(self.work)? {
                return Ok(false);
            }
            ensure!(started.elapsed() < STEP_BOUND, "neither done nor at its write");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn has_written_since(&self, mark: &Mark) -> anyhow::Result<bool> {
        let name = self.mortal.name();
        let writes = self.kube.writes_since(mark)?;
        Ok(writes.iter().any(|write| write.pod == name && write.resource != "leases"))
    }

    /// Work done by the operator that lives.
    fn complete(&self, work: Work, point: u64) -> anyhow::Result<()> {
        self.begin(work, point)?;
        self.await_done(work)
    }

    fn await_done(&self, work: Work) -> anyhow::Result<()> {
        let started = Instant::now();
        while !self.is_done(work)? {
            ensure!(started.elapsed() < STEP_BOUND, "{work:?} is not done within {} s", STEP_BOUND.as_secs());
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// What a person does to the resources. Each edit differs from the one before.
    fn begin(&self, work: Work, point: u64) -> anyhow::Result<()> {
        match work {
            Work::Create => self.kube.apply(&self.objects(0)).map(|_| ()),
            Work::Edit => self.kube.apply(&self.objects(point)).map(|_| ()),
            Work::Delete => {
                for (kind, name) in [(TOPIC, "orders"), (CLUSTER, "main")] {
                    let names = ["delete", kind, name, "--namespace", &self.namespace];
                    self.kube.kubectl(&[&names[..], &["--ignore-not-found", "--wait=false"]].concat())?;
                }
                Ok(())
            }
        }
    }

    /// A Cluster and a Topic that take their data with them; the edition changes a setting of each.
    fn objects(&self, edition: u64) -> [Value; 2] {
        let cluster = with(self.brokers.manifest(), "deletionPolicy", json!("deleteVolumes"));
        let partitions = (2 + edition % 50).to_string();
        let cluster = with(cluster, "config", json!({ "num.partitions": partitions }));
        let topic = with(topic(&self.namespace, "main", "orders", 1), "deletionPolicy", json!("delete"));
        let retention_ms = (3_600_000 + edition).to_string();
        [cluster, with(topic, "config", json!({ "retention.ms": retention_ms }))]
    }

    fn is_done(&self, work: Work) -> anyhow::Result<bool> {
        let (kube, namespace) = (self.kube, self.namespace.as_str());
        if work != Work::Delete {
            return Ok(
                kube.is_ready(namespace, CLUSTER, "main")? && kube.is_ready(namespace, TOPIC, "orders")?
            );
        }
        let left = |kind: &str| kube.list(namespace, kind, "logspine.dev/cluster=main");
        Ok(kube.get(namespace, TOPIC, "orders")?.is_none()
            && kube.get(namespace, CLUSTER, "main")?.is_none()
            && left("pods")?.is_empty()
            && left("persistentvolumeclaims")?.is_empty())
    }

    /// While settings are edited and the broker is restarted for them, the records stay.
    fn check(&self) -> anyhow::Result<()> {
        if self.work != Work::Edit {
            return Ok(());
        }
        let read = self.brokers.count_and_sum("orders")?;
        ensure!(read == all_up_to(RECORDS), "read (count, sum) {read:?}");
        Ok(())
    }
}
