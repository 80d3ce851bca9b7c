//! Whole-system tests.

pub mod broker;
pub mod checker;
pub mod crash;
pub mod disk_story;
pub mod dump;
pub mod faultfs;
pub mod foreign;
pub mod kafka;
pub mod keeper;
pub mod kube;
pub mod load;
pub mod random;
pub mod strace;
pub mod untouched;
