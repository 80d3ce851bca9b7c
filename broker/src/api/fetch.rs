//! Fetch: slices of whole batches from many partitions, at once or after a wait; record bytes stay in their files.
//!
//! The limits are max_bytes, each partition's maximum, and at least one batch of the first partition that has
//! any (KIP-74). Too few bytes: register with every partition, read again, wait for the missing bytes or the
//! deadline. The answer has a hole per slice, which `net/` fills by sendfile. Sessions (KIP-227) are in
//! `sessions`. Versions 4 to 18: sessions from 7, epochs from 9, diverging epochs from 12, topic ids from 13.
//! Kafka: KafkaApis.handleFetchRequest, ReplicaManager.fetchMessages, DelayedFetch.

mod cold;
mod plan;
mod read;
pub mod sessions;

use std::time::Instant;

use logspine_protocol::messages::fetch::{FetchRequest, FetchResponse};
use logspine_protocol::wire::{Message, Reader};

use super::{Outcome, Refusal, RequestContext, encode_answer, encode_answer_in};
use crate::partition::FetchWaiter;
use plan::Plan;
use read::{Pass, Reads, Registered};

pub async fn respond(context: &RequestContext, body: &[u8]) -> Result<Outcome, Refusal> {
    let mut reader = Reader::new(body);
    let request = FetchRequest::decode(&mut reader, context.api_version)
        .map_err(|error| Refusal::malformed(context, error))?;
    let sessions = &context.broker.fetch_sessions;
    let mut plan = match Plan::of(sessions, &request, context.api_version, context.received_at) {
        Ok(plan) => plan,
        Err(code) => {
            let response = FetchResponse { error_code: code.code(), ..FetchResponse::default() };
            return encode_answer(context, &response);
        }
    };
    let reads = Reads::of(context, &request);
    read::find_all(context, &mut plan.targets);
    read_or_wait(context, &request, &reads, &mut plan).await;
    read::count(context, &plan.targets);
    let (response, slices) = plan.answer(sessions, reads.is_read_committed());
    encode_answer_in(context, &response, context.api_version, slices)
}

/// Reads; if that is too little, waits until there is enough or the client's patience ends, and reads again.
async fn read_or_wait(context: &RequestContext, request: &FetchRequest<'_>, reads: &Reads, plan: &mut Plan) {
    let deadline = context.deadline(request.max_wait_ms);
    let wanted = i64::from(request.min_bytes);
    let pass = reads.pass(&mut plan.targets);
    let mut pass = cold::settle(context, reads, &mut plan.targets, pass, wanted, deadline).await;
    let may_wait = !plan.targets.is_empty() || plan.watch().is_some();
    while !pass.is_enough(wanted) && Instant::now() < deadline && may_wait {
        // Register first, then read: what arrives in between is seen by one of the two.
        let waiter = FetchWaiter::new(wanted);
        let registered = Registered::new(plan, &waiter);
        pass = read_again(context, reads, plan);
        if pass.is_enough(wanted) || pass.is_cold {
            break;
        }
        waiter.found(pass.bytes);
        let mut stop = context.broker.lifecycle.stop_signal();
        let stops = tokio::select! {
            biased;
            () = waiter.due() => false,
            () = tokio::time::sleep_until(deadline.into()) => false,
            _ = stop.wait_for(|stops| *stops) => true,
        };
        drop(registered);
        pass = read_again(context, reads, plan);
        if stops {
            return;
        }
    }
    cold::settle(context, reads, &mut plan.targets, pass, wanted, deadline).await;
}

/// Reads what was read before, and what moved since.
fn read_again(context: &RequestContext, reads: &Reads, plan: &mut Plan) -> Pass {
    let mut woken = plan.woken(&context.broker.fetch_sessions);
    read::find_all(context, &mut woken);
    plan.targets.append(&mut woken);
    reads.pass(&mut plan.targets)
}
