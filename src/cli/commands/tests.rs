use clap::CommandFactory;

use super::*;

#[test]
fn the_grammar_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn command_lines_are_taken_or_refused() {
    for line in [
        "brick init /d --vg vg0",
        "brick init /d --vg vg0 --pool pool",
        "brick init /d --engine file --store /s",
        "brick init /d --vg vg0 --top images --no-adopt",
        "brick show /d",
        "check /d --socket /s",
        "volfile-filter /f",
    ] {
        let words = std::iter::once("gluster-bd").chain(line.split(' '));
        Arguments::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    for line in [
        "brick init /d",
        "brick init /d --pool pool",
        "brick init /d --vg -x",
        "brick init /d --engine file",
        "brick init /d --vg vg0 --store /s",
        "brick init /d --engine lvm --store /s",
        "check",
        "frobnicate",
    ] {
        let words = std::iter::once("gluster-bd").chain(line.split(' '));
        let error = Arguments::try_parse_from(words).expect_err(line);
        assert_eq!(error.exit_code(), crate::Exit::Usage as i32, "{line}");
    }
}
