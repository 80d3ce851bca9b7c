//! The requests of one connection that have been started and not yet answered, in request order.
//!
//! A request is polled once when it starts, before the next frame is read: whatever it does before its first
//! await (an append, a registration) happens in the connection's order. After that only the oldest is polled,
//! because only its answer can leave next. The number is bounded by `IN_FLIGHT_MAX`.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Requests of one connection that may wait at the same time. Clients pipeline five by default.
pub const IN_FLIGHT_MAX: usize = 64;

type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;

enum Request<T> {
    Running(Running<T>),
    Done(T),
}

pub struct InFlight<T> {
    requests: VecDeque<Request<T>>,
}

impl<T> InFlight<T> {
    pub fn new() -> InFlight<T> {
        InFlight { requests: VecDeque::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub fn has_room(&self) -> bool {
        self.requests.len() < IN_FLIGHT_MAX
    }

    /// Whether `pop_done` has something.
    pub fn has_done(&self) -> bool {
        matches!(self.requests.front(), Some(Request::Done(_)))
    }

    /// The request that was started last, if it is done.
    pub fn newest_done(&mut self) -> Option<&mut T> {
        match self.requests.back_mut() {
            Some(Request::Done(done)) => Some(done),
            _ => None,
        }
    }

    /// Adds a request and polls it for the first time.
    pub fn start(&mut self, mut request: Running<T>, context: &mut Context<'_>) {
        self.requests.push_back(match request.as_mut().poll(context) {
            Poll::Ready(done) => Request::Done(done),
            Poll::Pending => Request::Running(request),
        });
    }

    /// Takes the oldest request's result if it is there.
    pub fn pop_done(&mut self) -> Option<T> {
        match self.requests.front() {
            Some(Request::Done(_)) => match self.requests.pop_front() {
                Some(Request::Done(done)) => Some(done),
                _ => None,
            },
            _ => None,
        }
    }

    /// Ready once the oldest request is done; pending while there is none.
    pub fn poll_oldest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(oldest) = self.requests.front_mut() else { return Poll::Pending };
        if let Request::Running(running) = oldest {
            match running.as_mut().poll(context) {
                Poll::Ready(done) => *oldest = Request::Done(done),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::sync::oneshot;

    async fn start(in_flight: &mut InFlight<i32>, request: impl Future<Output = i32> + Send + 'static) {
        let mut request = Some(Box::pin(request) as Running<i32>);
        poll_fn(|context| {
            in_flight.start(request.take().expect("polled once"), context);
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn a_later_request_that_is_done_first_waits_for_its_turn() {
        let (release, released) = oneshot::channel::<i32>();
        let mut in_flight = InFlight::new();
        start(&mut in_flight, async { released.await.unwrap() }).await;
        start(&mut in_flight, async { 2 }).await;
        assert_eq!(in_flight.pop_done(), None);
        release.send(1).unwrap();
        poll_fn(|context| in_flight.poll_oldest(context)).await;
        assert_eq!((in_flight.pop_done(), in_flight.pop_done()), (Some(1), Some(2)));
        assert!(in_flight.is_empty());
    }
}
