//! The task that keeps a membership alive while its owner does something else.
//!
//! One per generation. It ends when the coordinator does not want this member as it is any more, and keeps the
//! reason; dropping the handle stops it. Called by `member.rs`.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use logspine_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use logspine_protocol::types::BrokerId;

use super::member::{lost_coordinator, wants_rejoin};
use crate::admin::find_coordinator;
use crate::client::Client;
use crate::error::ClientError;

/// A running heartbeat, or what ended it.
#[derive(Debug)]
pub(super) struct Heartbeat {
    task: AbortHandle,
    ended: watch::Receiver<Option<ClientError>>,
}

impl Heartbeat {
    /// Beats every `interval`, and bears failures that may pass for as long as a `session` bears our silence.
    pub(super) fn start(
        client: Client,
        coordinator: BrokerId,
        request: HeartbeatRequest<'static>,
        interval: Duration,
        session: Duration,
    ) -> Self {
        let (end, ended) = watch::channel(None);
        let task = tokio::spawn(async move {
            let error = beat(&client, coordinator, &request, interval, session).await;
            end.send_replace(Some(error));
        });
        Self { task: task.abort_handle(), ended }
    }

    /// Why it ended; `None` while it runs.
    pub(super) fn ended(&self) -> Option<ClientError> {
        self.ended.borrow().clone()
    }

    /// Resolves when it has ended.
    pub(super) async fn wait_ended(&mut self) {
        // An error would mean that the task is gone, which is an end as well.
        let _ = self.ended.wait_for(Option::is_some).await;
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Says every `interval` that the member is alive, until it is not wanted any more; returns why.
async fn beat(
    client: &Client,
    mut coordinator: BrokerId,
    request: &HeartbeatRequest<'_>,
    interval: Duration,
    session: Duration,
) -> ClientError {
    let mut last_heard = Instant::now();
    loop {
        tokio::time::sleep(interval).await;
        let error = match beat_once(client, coordinator, request).await {
            Ok(()) => {
                last_heard = Instant::now();
                continue;
            }
            Err(error) => error,
        };
        if wants_rejoin(&error) || !error.is_retriable() || last_heard.elapsed() >= session {
            return error;
        }
        if lost_coordinator(&error) {
            coordinator = find_coordinator(client, &request.group_id).await.unwrap_or(coordinator);
        }
    }
}

async fn beat_once(
    client: &Client,
    coordinator: BrokerId,
    request: &HeartbeatRequest<'_>,
) -> Result<(), ClientError> {
    let reply = client.call(coordinator, request).await?;
    let response = reply.decode::<HeartbeatResponse>()?;
    reply.check(response.error_code, &format!("group {}", request.group_id), None)
}
