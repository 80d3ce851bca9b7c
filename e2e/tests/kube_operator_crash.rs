//! Promise: the operator may die after any of its writes. Whatever it was doing (creating, editing, deleting), the
//! next one brings it to its end, and no acknowledged record is lost on the way.
//!
//! For N = 1, 2, ... an operator that exits right after its Nth write is given the work; then one that lives. The
//! row ends with the first N that is larger than the number of writes that the work takes.

use std::time::{Duration, Instant};

use anyhow::ensure;
use logspine_e2e::kube::brokers::{CLUSTER, TOPIC, all_up_to};
use logspine_e2e::kube::manifest::{cluster, topic, with};
use logspine_e2e::kube::mortal_operator::{Life, MortalOperator};
use logspine_e2e::kube::{Kubernetes, Story, operator, pod};
use serde_json::{Value, json};

const NAMESPACE: &str = "e2e-operator-crash";
const NODE_PORT: u16 = 30199;
const RECORDS: u64 = 1000;
/// No work takes more writes; a row that gets here is an operator that never rests.
const POINTS_MAX: u64 = 80;
/// Work is done when the operator has written nothing for this long.
const QUIET: Duration = Duration::from_secs(3);
const STEP_BOUND: Duration = Duration::from_secs(90);

/// What a person does to the resources, and when it is done.
struct Work<'w> {
    name: &'static str,
    begin: &'w dyn Fn(&Kubernetes) -> anyhow::Result<()>,
    is_done: &'w dyn Fn(&Kubernetes) -> anyhow::Result<bool>,
}

#[test]
fn the_operator_may_die_after_any_write() -> anyhow::Result<()> {
    let Some(kube) = Kubernetes::for_test("kube_operator_crash") else { return Ok(()) };
    let mut story = Story::begin("create, edit and delete converge from every crash point");
    story.step("the operator is installed", 60, || operator::install(&kube, &[]))?;
    story.step("an empty namespace", 100, || kube.fresh_namespace(NAMESPACE))?;
    story.step("a client's pod", 10, || kube.apply(&[pod::client(NAMESPACE)]))?;
    let mut mortal = MortalOperator::take_over(&kube)?;
    let result = rows(&kube, &mut mortal, &mut story);
    mortal.stop()?;
    story.step("the installed operator is back", 90, || operator::install(&kube, &[]))?;
    result?;
    story.end();
    Ok(())
}

fn rows(kube: &Kubernetes, mortal: &mut MortalOperator<'_>, story: &mut Story) -> anyhow::Result<()> {
    let create = Work { name: "create", begin: &|kube| apply(kube, &created()), is_done: &is_ready };
    let edit = Work { name: "edit", begin: &|kube| apply(kube, &edited()), is_done: &is_ready };
    let delete = Work { name: "delete", begin: &begin_deletion, is_done: &is_gone };
    let bound_s = 1800;
    story.step("create, crash after each write", bound_s, || {
        row(kube, mortal, &create, &|kube, mortal| complete(kube, mortal, &delete), &|_| Ok(()))
    })?;
    story.step("edit, crash after each write", bound_s, || {
        complete(kube, mortal, &create)?;
        produce(kube)?;
        let back = |kube: &Kubernetes, mortal: &mut MortalOperator<'_>| complete(kube, mortal, &create);
        row(kube, mortal, &edit, &back, &records_are_there)
    })?;
    story.step("delete, crash after each write", bound_s, || {
        row(kube, mortal, &delete, &|kube, mortal| complete(kube, mortal, &create), &|_| Ok(()))
    })
}

/// One kind of work, interrupted after its first, second, ... write. `reset` makes the state from which it begins.
fn row(
    kube: &Kubernetes,
    mortal: &mut MortalOperator<'_>,
    work: &Work<'_>,
    reset: &dyn Fn(&Kubernetes, &mut MortalOperator<'_>) -> anyhow::Result<()>,
    check: &dyn Fn(&Kubernetes) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for point in 1..=POINTS_MAX {
        reset(kube, mortal)?;
        mortal.start(Some(point))?;
        (work.begin)(kube)?;
        if !reaches_its_write(kube, mortal, work)? {
            println!("FIGURE operator crash points, {}: {}", work.name, point - 1);
            return check(kube);
        }
        mortal.start(None)?;
        await_done(kube, work)
            .map_err(|error| error.context(format!("{} after write {point}", work.name)))?;
        check(kube)?;
    }
    anyhow::bail!("{} has more than {POINTS_MAX} writes and still goes on", work.name)
}

/// Waits until the operator exits after its Nth write (true), or is done without reaching it (false).
fn reaches_its_write(
    kube: &Kubernetes,
    mortal: &MortalOperator<'_>,
    work: &Work<'_>,
) -> anyhow::Result<bool> {
    let started = Instant::now();
    let mut mark = kube.audit_mark()?;
    let mut quiet_since = Instant::now();
    loop {
        let life = mortal.life()?;
        if life == Life::ReachedItsWrite {
            return Ok(true);
        }
        if writes_by_the_operator(kube, &mark)? > 0 {
            (mark, quiet_since) = (kube.audit_mark()?, Instant::now());
        }
        let is_quiet = quiet_since.elapsed() > QUIET;
        if life == Life::Running && is_quiet && (work.is_done)(kube)? {
            return Ok(false);
        }
        ensure!(started.elapsed() < STEP_BOUND, "{}: neither done nor at its write", work.name);
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn writes_by_the_operator(
    kube: &Kubernetes,
    mark: &logspine_e2e::kube::audit::Mark,
) -> anyhow::Result<usize> {
    let account = format!("system:serviceaccount:{}:", operator::NAMESPACE);
    let writes = kube.writes_since(mark)?;
    Ok(writes.iter().filter(|write| write.user.starts_with(&account) && write.resource != "leases").count())
}

/// Does the work with an operator that lives.
fn complete(kube: &Kubernetes, mortal: &mut MortalOperator<'_>, work: &Work<'_>) -> anyhow::Result<()> {
    if (work.is_done)(kube)? && work.name == "delete" {
        return Ok(());
    }
    mortal.start(None)?;
    (work.begin)(kube)?;
    await_done(kube, work)?;
    mortal.stop()
}

fn await_done(kube: &Kubernetes, work: &Work<'_>) -> anyhow::Result<()> {
    let started = Instant::now();
    while !(work.is_done)(kube)? {
        ensure!(started.elapsed() < STEP_BOUND, "{}: not done within {} s", work.name, STEP_BOUND.as_secs());
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn created() -> [Value; 2] {
    let cluster = with(cluster(NAMESPACE, "main", NODE_PORT), "deletionPolicy", json!("deleteVolumes"));
    let topic = with(topic(NAMESPACE, "main", "orders", 1), "deletionPolicy", json!("delete"));
    [
        cluster,
        with(
            with(topic, "allowPartitionIncrease", json!(true)),
            "config",
            json!({ "retention.ms": "3600000" }),
        ),
    ]
}

/// Another broker setting (which restarts the broker) and another topic setting.
fn edited() -> [Value; 2] {
    let [cluster, topic] = created();
    let cluster = with(cluster, "config", json!({ "num.partitions": "2" }));
    [cluster, with(topic, "config", json!({ "retention.ms": "7200000" }))]
}

fn apply(kube: &Kubernetes, objects: &[Value]) -> anyhow::Result<()> {
    kube.apply(objects).map(|_| ())
}

fn is_ready(kube: &Kubernetes) -> anyhow::Result<bool> {
    Ok(kube.is_ready(NAMESPACE, CLUSTER, "main")? && kube.is_ready(NAMESPACE, TOPIC, "orders")?)
}

fn begin_deletion(kube: &Kubernetes) -> anyhow::Result<()> {
    for (kind, name) in [(TOPIC, "orders"), (CLUSTER, "main")] {
        kube.kubectl(&[
            "delete",
            kind,
            name,
            "--namespace",
            NAMESPACE,
            "--ignore-not-found",
            "--wait=false",
        ])?;
    }
    Ok(())
}

fn is_gone(kube: &Kubernetes) -> anyhow::Result<bool> {
    let is_absent =
        |kind: &str, name: &str| Ok::<_, anyhow::Error>(kube.get(NAMESPACE, kind, name)?.is_none());
    let left = |kind: &str| kube.list(NAMESPACE, kind, "logspine.dev/cluster=main");
    Ok(is_absent(TOPIC, "orders")?
        && is_absent(CLUSTER, "main")?
        && left("pods")?.is_empty()
        && left("persistentvolumeclaims")?.is_empty())
}

fn produce(kube: &Kubernetes) -> anyhow::Result<()> {
    let line = format!("seq 1 {RECORDS} | kcat -P -b {} -t orders -X acks=all", inside(kube)?);
    kube.in_client(NAMESPACE, &line).map(|_| ())
}

fn records_are_there(kube: &Kubernetes) -> anyhow::Result<()> {
    let add = "awk '{ n++; s += $1 } END { printf \"%.0f %.0f\", n, s }'";
    let line = format!("kcat -C -b {} -t orders -o beginning -e -q | {add}", inside(kube)?);
    let (count, sum) = all_up_to(RECORDS);
    let read = kube.in_client(NAMESPACE, &line)?;
    ensure!(read.trim() == format!("{count} {sum}"), "read (count, sum) {read}");
    Ok(())
}

fn inside(kube: &Kubernetes) -> anyhow::Result<String> {
    let object = kube.get(NAMESPACE, CLUSTER, "main")?.unwrap_or_default();
    let listeners = object["status"]["listeners"].as_array().cloned().unwrap_or_default();
    let internal = listeners.iter().find(|listener| listener["name"] == "internal");
    let bootstrap = internal.and_then(|listener| listener["bootstrap"].as_str());
    Ok(anyhow::Context::context(bootstrap, "the status names no bootstrap address")?.to_owned())
}
