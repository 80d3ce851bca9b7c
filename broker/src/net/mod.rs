//! Sockets: who may connect, how frames are read, how answers leave. The only part that knows the network.
//!
//! `listener` accepts, `workers` are the threads that serve, `connection` is one task per client, `frame_reader`
//! turns bytes into frames within the memory of `request_memory`, `response_writer` sends answers in request
//! order and record bytes by sendfile.

mod connection;
mod frame_reader;
mod in_flight;
mod listener;
mod request_memory;
mod response_writer;
mod workers;

pub use listener::{BindError, Listeners};
pub use workers::Workers;
