use super::*;
use tempfile::TempDir;

/// A volume's folder as glusterd has it, and a brick directory.
struct Bed {
    folder: TempDir,
}

impl Bed {
    fn new() -> Bed {
        let folder = tempfile::tempdir().unwrap();
        let bed = Bed { folder };
        fs::create_dir(bed.volume()).unwrap();
        fs::create_dir(bed.brick()).unwrap();
        bed.switch("user.bd=on");
        bed
    }

    fn volume(&self) -> PathBuf {
        self.folder.path().join("one")
    }

    fn brick(&self) -> PathBuf {
        self.folder.path().join("brick")
    }

    fn switch(&self, line: &str) {
        let info = include_str!("../../testdata/volume.info").replace("user.bd=on", line);
        fs::write(self.volume().join("info"), info).unwrap();
    }

    fn configure_brick(&self) {
        let path = configuration(&self.brick());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    /// A volfile from the test data under a name of glusterd's, with our brick in it.
    fn put(&self, data: &str, name: &str) -> PathBuf {
        let data = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata")
            .join(data);
        let text = fs::read_to_string(data).unwrap();
        let brick = self.brick().display().to_string();
        let path = self.volume().join(name);
        let text = text.replace(
            "option directory /bricks/1",
            &format!("option directory {brick}"),
        );
        fs::write(&path, text).unwrap();
        path
    }
}

fn load(path: &Path) -> Volfile {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

/// Name and type of each block, and what it stands on.
fn chain(volfile: &Volfile) -> Vec<(String, String)> {
    let blocks = volfile.blocks.iter();
    blocks
        .map(|b| (b.name.clone(), b.subvolumes.join(" ")))
        .collect()
}

#[test]
fn a_brick_gets_its_translator_and_loses_it_again() {
    let bed = Bed::new();
    bed.configure_brick();
    let path = bed.put("brick.vol", "one.host1.bricks-1.vol");
    let plain = fs::read_to_string(&path).unwrap();
    assert!(filter(&path).unwrap());
    let filtered = load(&path);
    let chain = chain(&filtered);
    assert_eq!(chain[0], ("one-posix".into(), String::new()));
    assert_eq!(chain[1], ("one-bd".into(), "one-posix".into()));
    assert_eq!(chain[2], ("one-trash".into(), "one-bd".into()));
    assert_eq!(filtered.blocks[1].kind, "storage/bd");
    assert_eq!(
        filtered.blocks[1].option("volume-id"),
        Some("e10157cf-3136-4f58-b8f0-e27b5e538ac4")
    );
    let above = |name: &str| {
        let found = filtered.blocks.iter().find(|b| b.subvolumes == [name]);
        found.map(|block| (block.name.as_str(), block.kind.as_str()))
    };
    assert_eq!(
        above("one-io-threads"),
        Some(("one-bd-bypass", "performance/bd-bypass"))
    );
    assert_eq!(
        above("one-bd-bypass"),
        Some(("one-selinux", "features/selinux"))
    );
    assert!(!filter(&path).unwrap(), "a second run changes nothing");

    bed.switch("user.bd=on\nuser.bd.bypass=off");
    assert!(filter(&path).unwrap());
    let bypass = |volfile: &Volfile| {
        let mut blocks = volfile.blocks.iter();
        let found = blocks.find(|block| block.name == "one-bd-bypass").unwrap();
        found.option("bypass").map(str::to_owned)
    };
    assert_eq!(bypass(&filtered), None);
    assert_eq!(bypass(&load(&path)).as_deref(), Some("off"));

    bed.switch("user.bd=off");
    assert!(filter(&path).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), plain);
    assert!(!filter(&path).unwrap());
    // Once the volume has used it, it may hold images.
    let left_on = || super::super::bricks_left_on(&path).unwrap();
    assert!(left_on().is_empty());
    let serves = |volume: &str| {
        let text = format!("top = \"vg0\"\nvolume = \"{volume}\"\n");
        fs::write(configuration(&bed.brick()), text).unwrap();
    };
    serves("00000000-0000-4f58-b8f0-e27b5e538ac4");
    assert!(!filter(&path).unwrap());
    serves("e10157cf-3136-4f58-b8f0-e27b5e538ac4");
    assert!(filter(&path).unwrap());
    assert!(load(&path).blocks.iter().any(|b| b.kind == "storage/bd"));
    assert_eq!(left_on(), [bed.brick()]);
    bed.switch("user.bd=on");
    assert!(left_on().is_empty());
}

#[test]
fn a_brick_without_configuration_stays_plain() {
    let bed = Bed::new();
    let path = bed.put("brick.vol", "one.host1.bricks-1.vol");
    assert!(!filter(&path).unwrap());
    let idle = |path| super::super::idle_bricks(path).unwrap();
    let found = idle(&path);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].volume.as_str(), &found[0].dir),
        ("one", &bed.brick())
    );
    // An arbiter holds no images.
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace("type features/trash", "type features/arbiter");
    fs::write(&path, text).unwrap();
    assert_eq!(idle(&path), []);
    bed.configure_brick();
    assert!(!filter(&path).unwrap());
    let bed = Bed::new();
    let path = bed.put("brick.vol", "one.host1.bricks-1.vol");
    bed.switch("user.bd=off");
    assert_eq!(idle(&path), []);
    bed.switch("user.bd=on");
    bed.configure_brick();
    assert_eq!(idle(&path), []);
    // A brick of another host, whose volfile is here, too; where that is not known, its directory is
    // not here.
    fs::remove_dir_all(bed.brick()).unwrap();
    assert_eq!(idle(&path), []);
}

#[test]
fn clients_get_their_translator_below_the_top() {
    let bed = Bed::new();
    for (data, name) in [
        ("client.vol", "one.tcp-fuse.vol"),
        ("trusted-client.vol", "trusted-one.tcp-fuse.vol"),
    ] {
        let path = bed.put(data, name);
        let plain = fs::read_to_string(&path).unwrap();
        assert!(filter(&path).unwrap());
        let chain = chain(&load(&path));
        let [.., below, client, top] = chain.as_slice() else {
            panic!("{chain:?}");
        };
        assert_eq!(below.0, "one-snapview-client");
        assert_eq!(client, &("one-bd-client".into(), below.0.clone()));
        assert_eq!(top, &("one".into(), "one-bd-client".into()));
        assert!(!filter(&path).unwrap());
        bed.switch("user.bd=off");
        assert!(filter(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), plain);
        bed.switch("user.bd=on");
    }
}

#[test]
fn sharding_stays_away_unless_it_was_there_first() {
    let bed = Bed::new();
    let put = || {
        let path = bed.put("client.vol", "one.tcp-fuse.vol");
        let sharded =
            "volume one-shard\n    type features/shard\n    subvolumes one-dht\nend-volume\n\n";
        let text = fs::read_to_string(&path).unwrap();
        let (dht, rest) = text.split_once("volume one-utime").unwrap();
        let rest = rest.replace("subvolumes one-dht", "subvolumes one-shard");
        fs::write(&path, format!("{dht}{sharded}volume one-utime{rest}")).unwrap();
        path
    };
    let has_shard = |path: &Path| {
        let volfile = load(path);
        volfile.blocks.iter().any(|b| b.kind == "features/shard")
    };
    let path = put();
    assert!(has_shard(&path));
    assert!(filter(&path).unwrap());
    assert!(!has_shard(&path));
    let plain = bed.put("client.vol", "one.tcp-fuse.vol");
    filter(&plain).unwrap();
    let without = load(&plain);
    let path = put();
    filter(&path).unwrap();
    assert_eq!(load(&path), without);
    // Until the hook has switched it off, others may write the volfile.
    bed.switch("user.bd=on\nfeatures.shard=on");
    let path = put();
    assert!(filter(&path).unwrap());
    assert!(!has_shard(&path));
    for info in ["user.bd=on", "user.bd=off\nfeatures.shard=on"] {
        bed.switch("user.bd=on");
        filter(&put()).unwrap();
        bed.switch(info);
        filter(&bed.put("client.vol", "one.tcp-fuse.vol")).unwrap();
        bed.switch("user.bd=on\nfeatures.shard=on");
        let path = put();
        assert!(filter(&path).unwrap());
        assert!(has_shard(&path), "{info}");
    }
}

#[test]
fn what_harms_images_is_left_out_of_our_volumes_alone() {
    for kind in ["performance/nl-cache", "features/cdc"] {
        let bed = Bed::new();
        let path = bed.put("client.vol", "one.tcp-fuse.vol");
        filter(&path).unwrap();
        let without = load(&path);
        let path = bed.put("client.vol", "one.tcp-fuse.vol");
        let text = fs::read_to_string(&path).unwrap();
        let block =
            format!("volume one-x\n    type {kind}\n    subvolumes one-dht\nend-volume\n\n");
        let (dht, rest) = text.split_once("volume one-utime").unwrap();
        let rest = rest.replace("subvolumes one-dht", "subvolumes one-x");
        let with = format!("{dht}{block}volume one-utime{rest}");
        fs::write(&path, &with).unwrap();
        assert!(filter(&path).unwrap());
        assert_eq!(load(&path), without);
        bed.switch("user.bd=off");
        fs::write(&path, &with).unwrap();
        assert!(!filter(&path).unwrap());
    }
}

/// A translator below a line of a volfile.
fn put_below(text: &str, line: &str, kind: &str) -> String {
    let (before, rest) = text.split_once(line).unwrap();
    let (below, rest) = rest.split_once("    subvolumes ").unwrap();
    let (name, rest) = rest.split_once('\n').unwrap();
    let (before, own) = before.rsplit_once("volume ").unwrap();
    format!(
        "{before}volume one-x\n    type {kind}\n    subvolumes {name}\nend-volume\n\n\
         volume {own}{line}{below}    subvolumes one-x\n{rest}"
    )
}

#[test]
fn what_ends_processes_is_left_out_of_our_volumes_alone() {
    let bed = Bed::new();
    let same = |data: &str,
                name: &str,
                with: &dyn Fn(&str) -> String,
                ordinary: &dyn Fn(&str) -> String| {
        bed.switch("user.bd=on");
        let path = bed.put(data, name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, ordinary(&text)).unwrap();
        filter(&path).unwrap();
        let expected = load(&path);
        fs::write(&path, with(&text)).unwrap();
        filter(&path).unwrap();
        assert_eq!(load(&path), expected);
        bed.switch("user.bd=off");
        fs::write(&path, with(&text)).unwrap();
        assert!(!filter(&path).unwrap());
    };
    let asis = |text: &str| text.to_owned();
    let top = "    type debug/io-stats\n";
    let dump = |text: &str| text.replace(top, &format!("{top}    option ios-dump-format dict\n"));
    let cloud = |text: &str| put_below(text, "    type features/utime\n", "features/cloudsync");
    let lent = |text: &str| text.replace("option leases off", "option leases enable");
    let order = |text: &str| put_below(text, top, "features/sdfs");
    let (client, brick) = ("one.tcp-fuse.vol", "one.host1.bricks-1.vol");
    same("client.vol", client, &dump, &asis);
    same("client.vol", client, &cloud, &asis);
    same("brick.vol", brick, &dump, &asis);
    same("brick.vol", brick, &|text| order(&lent(text)), &lent);
    // Alone it does no harm.
    bed.switch("user.bd=on");
    let path = bed.put("brick.vol", brick);
    let text = order(&fs::read_to_string(&path).unwrap());
    fs::write(&path, &text).unwrap();
    filter(&path).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("features/sdfs"));
}

#[test]
fn files_are_where_their_names_say() {
    let bed = Bed::new();
    let put = |kind: &str| {
        let path = bed.put("client.vol", "one.tcp-fuse.vol");
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("    type cluster/distribute\n", kind);
        fs::write(&path, text).unwrap();
        path
    };
    let path = put("    type cluster/distribute\n");
    filter(&path).unwrap();
    let ordinary = load(&path);
    for kind in [
        "    type cluster/nufa\n    option local-volume-name one-client-0\n",
        "    type cluster/switch\n    option pattern.switch.case *:one-client-0\n",
    ] {
        let path = put(kind);
        assert!(fs::read_to_string(&path).unwrap().contains(kind));
        assert!(filter(&path).unwrap());
        assert_eq!(load(&path), ordinary);
    }
}

#[test]
fn services_stay_plain() {
    let bed = Bed::new();
    bed.configure_brick();
    for (data, name) in [
        ("shd.vol", "one-shd.vol"),
        ("rebalance.vol", "one-rebalance.vol"),
        ("snapd.vol", "one-snapd.vol"),
        ("gfproxyd.vol", "one.gfproxyd.vol"),
        ("gfproxy-client.vol", "trusted-one.tcp-gfproxy-fuse.vol"),
        ("brick-client.vol", "one.client.host1.bricks-1.vol"),
    ] {
        let path = bed.put(data, name);
        assert!(!filter(&path).unwrap(), "{name}");
    }
    // A volfile in no volume's folder.
    let path = bed.put("client.vol", "one.tcp-fuse.vol");
    fs::remove_file(bed.volume().join("info")).unwrap();
    assert!(!filter(&path).unwrap());
}

#[test]
fn errors_leave_the_volfile_as_it_was() {
    let bed = Bed::new();
    let path = bed.put("client.vol", "one.tcp-fuse.vol");
    let text = fs::read_to_string(&path).unwrap();
    for broken in [
        text.replace("end-volume", "end"),
        text.replace("type debug/io-stats", "type debug/trace"),
    ] {
        fs::write(&path, &broken).unwrap();
        assert!(filter(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), broken);
    }
    fs::write(&path, &text).unwrap();
    bed.switch("user.bd=maybe");
    assert!(matches!(filter(&path), Err(FilterError::Info { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let names: Vec<_> = fs::read_dir(bed.volume()).unwrap().collect();
    assert_eq!(names.len(), 2, "no temporary file is left");
}

#[test]
fn mode_and_owner_stay() {
    let bed = Bed::new();
    let path = bed.put("client.vol", "one.tcp-fuse.vol");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(filter(&path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
}
