//! The command line as a whole: clap's own checks, and what the help texts promise.

use clap::{CommandFactory, Parser};

use super::*;

#[derive(Debug, Parser)]
struct Logspine {
    #[command(subcommand)]
    command: ClientCommand,
}

#[test]
fn the_arguments_do_not_contradict_each_other() {
    Logspine::command().debug_assert();
}

#[test]
fn options_may_stand_before_or_after_the_action() {
    for line in ["logspine topic -b h:1 -o json list", "logspine topic list -b h:1 -o json"] {
        Logspine::try_parse_from(line.split(' ')).expect(line);
    }
}

#[test]
fn offsets_before_the_end_are_not_taken_for_options() {
    for line in ["logspine consume t -o -10 -e", "logspine group reset-offsets g --topic t --to -5"] {
        Logspine::try_parse_from(line.split(' ')).expect(line);
    }
}

#[test]
fn partitions_cannot_be_chosen_inside_a_group() {
    let refused =
        Logspine::try_parse_from("logspine consume t -g g -p 0".split(' ')).expect_err("contradiction");
    assert!(refused.to_string().contains("--partition"));
}

#[test]
fn every_command_shows_examples() {
    let command = Logspine::command();
    for subcommand in command.get_subcommands() {
        let help = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Examples:"), "{}", subcommand.get_name());
    }
}
