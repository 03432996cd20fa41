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
        "adopt /d --vg vg0",
        "adopt /d --vg vg0 --thick --top images --yes --json",
        "brick remove /d --keep",
        "check /d --socket /s",
        "volfile-filter /f",
        "create vms:/vg0/lv1 4MB",
        "create vms:lv1 10 --thick --json",
        "clone vms:/vg0/lv1 lv2",
        "clone vms:lv1 vms:lv2",
        "snapshot vms:/vg0/lv1 lv3 1",
        "merge vms:/vg0/lv3 --force",
        "delete vms:/vg0/lv1 vms:lv2",
        "resize vms:/vg0/lv1 -1G --force",
        "resize vms:/vg0/lv1 +1G --mode=script",
        "rename vms:lv1 lv2",
        "list",
        "list vms:/ --remote-host server",
        "list -o +kind,origin -S -size",
        "info vms:lv1",
        "tree vms",
        "check",
        "check --repair --json",
        "check /d --repair",
        "storage list --free",
        "storage create vg0 /dev/sdb /dev/sdc --thinpool 50% --metadata 64M --raid1 --wipe",
        "brick create vg0 --pool pool --top images",
        "volume create vms replica 2 h1:/vg0 h2:/vg0",
        "volume create vms device vg h1:/vg0",
        "volume add-brick vms replica 3 h3:/vg0 h4:/d/b?vg1",
        "volume set-virt vms",
        "pool status vg0 --json",
        "pool extend vg0/pool +10G",
        "pool extend vg0/pool +100%FREE --metadata 1G --json",
        "pool extend vg0/pool --metadata +64M",
        "storage evacuate /dev/sdb --json",
        "job list --active --json",
        "job show 1",
        "job wait",
        "job wait 1 2 --json",
        "job pause 1 2",
        "job resume 1",
        "job cancel 1",
        "completions bash",
    ] {
        let words = std::iter::once("gluster-bd").chain(line.split(' '));
        Arguments::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    for line in [
        "brick init /d",
        "adopt /d",
        "adopt /d --vg vg0 --pool p --thick",
        "brick init /d --pool pool",
        "brick init /d --vg -x",
        "brick init /d --engine file",
        "brick init /d --vg vg0 --store /s",
        "brick init /d --engine lvm --store /s",
        "storage create vg0",
        "storage create -x /dev/sdb",
        "storage create vg0 /dev/sdb --thinpool 0%",
        "volume create vms",
        "volume add-brick vms",
        "pool extend vg0/pool",
        "pool extend pool +10G",
        "pool extend vg0/pool -10G",
        "pool extend vg0/pool 50%FREE",
        "completions sh",
        "create vms:/vg0/lv1",
        "create /vg0/lv1 4MB",
        "create vms:/vg0/../x 4MB",
        "create vms:/vg0/lv1 -4MB",
        "clone vms:/vg0/lv1",
        "clone vms:/vg0/lv1 a/../b",
        "merge",
        "merge vms:lv1 vms:lv2",
        "resize vms:lv1 --force",
        "job",
        "job show",
        "job cancel",
        "job pause x",
        "storage evacuate",
        "job show -1",
        "delete",
        "list -o nothing",
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
    for below in command
        .get_subcommands()
        .filter(|c| c.get_name() != "help" && !c.is_hide_set())
    {
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
