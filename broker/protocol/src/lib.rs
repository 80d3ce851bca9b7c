//! Kafka's wire protocol and record formats: bytes in, values out.
