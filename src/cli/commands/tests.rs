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

/// The pages of a command and of those below it: name and text.
fn pages(command: clap::Command, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let name = match prefix {
        "" => command.get_name().to_owned(),
        prefix => format!("{prefix}-{}", command.get_name()),
    };
    let mut all = Vec::new();
    for below in command.get_subcommands().filter(|c| c.get_name() != "help") {
        all.extend(pages(below.clone(), &name));
    }
    let leaked: &'static str = name.clone().leak();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.name(leaked)).section("8");
    man.render(&mut page).unwrap();
    all.push((format!("{name}.8"), page));
    all
}

#[test]
fn the_manual_is_up_to_date() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/man");
    for (name, page) in pages(Arguments::command(), "") {
        let path = folder.join(name);
        if std::env::var_os("UPDATE_MAN").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let written = std::fs::read(&path).unwrap_or_default();
        assert!(
            written == page,
            "{}: write docs/man anew with UPDATE_MAN=1 cargo test manual",
            path.display()
        );
    }
}
