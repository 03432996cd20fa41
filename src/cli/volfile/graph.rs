//! Where our translators belong in a volfile.

use std::path::Path;

use super::info::boolean;
use super::{Block, Volfile, VolumeInfo};

/// The translator of a brick: directly on the posix translator.
const BRICK: &str = "storage/bd";
/// The translator of a brick above the one that hands fops to threads: images need none.
const BYPASS: &str = "performance/bd-bypass";
/// That one's type.
const IO_THREADS: &str = "performance/io-threads";
/// The translator of a client: above all that caches, directly below the top.
const CLIENT: &str = "features/bd-client";
/// What the script that runs the filter puts at the start of a volfile of ours when that fails, so that
/// GlusterFS takes none of it.
pub(super) const REFUSED: &str = "storage/not-served--see-gluster-bd-filter.log";
/// The type at the leaf of each brick.
const POSIX: &str = "storage/posix";
/// The type above it in an arbiter.
const ARBITER: &str = "features/arbiter";
/// The type that keeps large files in pieces.
const SHARD: &str = "features/shard";
/// The type that compresses what goes between clients and bricks, and loses bytes of it.
const COMPRESSION: &str = "features/cdc";
/// The type that distributes files by their names.
const DISTRIBUTE: &str = "cluster/distribute";
/// Those that put new files elsewhere, and the options that distribution does not know.
const PLACED: [&str; 2] = ["cluster/nufa", "cluster/switch"];
const PLACES: [&str; 2] = ["local-volume-name", "pattern.switch.case"];
/// The type that remembers which names are not there: also those that links made meanwhile.
const NAME_CACHE: &str = "performance/nl-cache";
/// The type that counts fops, at the top of each client and in each brick.
const TOP: &str = "debug/io-stats";
/// How it writes them down from time to time: by this one its thread takes its open file for a dict.
const DUMP: (&str, &str) = ("ios-dump-format", "dict");
/// The type that lends files to clients; it ends the brick at a rename that has come through the next one.
const LEASES: &str = "features/leases";
/// The type that puts fops on names in order.
const SDFS: &str = "features/sdfs";
/// The type for files in another store; without a plug-in it ends a client at any change of options.
const CLOUDSYNC: &str = "features/cloudsync";

impl Volfile {
    /// Takes our translators out.
    pub(super) fn remove_ours(&mut self) {
        self.remove(&[BRICK, BYPASS, CLIENT, REFUSED]);
    }

    /// Whether it keeps large files in pieces.
    pub(super) fn is_sharded(&self) -> bool {
        self.blocks.iter().any(|block| block.kind == SHARD)
    }

    /// Takes out what keeps large files in pieces.
    pub(super) fn remove_sharding(&mut self) {
        self.remove(&[SHARD]);
    }

    /// Takes out what would lose bytes of images, and what would make plain files of them: a new file that
    /// is put elsewhere begins there as one that DHT moves.
    pub(super) fn remove_harm(&mut self) {
        self.remove(&[COMPRESSION]);
        for block in &mut self.blocks {
            if PLACED.contains(&block.kind.as_str()) {
                DISTRIBUTE.clone_into(&mut block.kind);
                block
                    .options
                    .retain(|(key, _)| !PLACES.contains(&key.as_str()));
            }
        }
    }

    /// Takes out what ends bricks and clients of any volume: a machine loses its disk by it.
    pub(super) fn remove_crashes(&mut self) {
        self.remove(&[CLOUDSYNC]);
        let is_on = |value: &str| boolean("leases", value) == Ok(true);
        let mut leases = self.blocks.iter().filter(|block| block.kind == LEASES);
        if leases.any(|block| block.option("leases").is_some_and(is_on)) {
            self.remove(&[SDFS]);
        }
        for block in self.blocks.iter_mut().filter(|block| block.kind == TOP) {
            block
                .options
                .retain(|(key, value)| (key.as_str(), value.as_str()) != DUMP);
        }
    }

    /// Takes out the blocks of these types.
    fn remove(&mut self, kinds: &[&str]) {
        while let Some(index) = self
            .blocks
            .iter()
            .position(|block| kinds.contains(&block.kind.as_str()))
        {
            let block = self.blocks.remove(index);
            if let Some(below) = block.subvolumes.first() {
                self.redirect(&block.name, below, index);
            }
        }
    }

    /// Puts our translator onto each posix translator whose directory is a brick of ours.
    pub(super) fn insert_brick(&mut self, info: &VolumeInfo, is_ours: impl Fn(&Path) -> bool) {
        // An arbiter holds names only: an image of its own would be as large as that of the others.
        if self.is_arbiter() {
            return;
        }
        let mut index = 0;
        while index < self.blocks.len() {
            let block = &self.blocks[index];
            let dir = block.option("directory").map(Path::new);
            if block.kind == POSIX && dir.is_some_and(&is_ours) {
                let posix = block.name.clone();
                let stem = posix.strip_suffix("-posix").unwrap_or(&posix);
                let mut bd = Block::on_top_of(&posix, format!("{stem}-bd"), BRICK);
                bd.options
                    .push(("volume-id".to_owned(), info.id.to_string()));
                if let Some(engine) = &info.io_engine {
                    bd.options.push(("io-engine".to_owned(), engine.clone()));
                }
                if info.heals {
                    bd.options.push(("heals".to_owned(), "on".to_owned()));
                }
                if info.root_converts {
                    bd.options.push(("convert".to_owned(), "root".to_owned()));
                }
                self.redirect(&posix, &bd.name, index + 1);
                self.blocks.insert(index + 1, bd);
                index += 1;
            }
            index += 1;
        }
    }

    /// Puts our translator above each that hands fops to threads, in a brick of ours.
    pub(super) fn insert_bypass(&mut self, info: &VolumeInfo) {
        if !self.blocks.iter().any(|block| block.kind == BRICK) {
            return;
        }
        let mut index = 0;
        while index < self.blocks.len() {
            let block = &self.blocks[index];
            if block.kind == IO_THREADS && block.subvolumes.len() == 1 {
                let threads = block.name.clone();
                let stem = threads.strip_suffix("-io-threads").unwrap_or(&threads);
                let mut bypass = Block::on_top_of(&threads, format!("{stem}-bd-bypass"), BYPASS);
                if !info.bypass {
                    bypass.options.push(("bypass".to_owned(), "off".to_owned()));
                }
                self.redirect(&threads, &bypass.name, index + 1);
                self.blocks.insert(index + 1, bypass);
                index += 1;
            }
            index += 1;
        }
    }

    /// The directories of the posix translators that lack ours.
    pub(super) fn plain_bricks(&self) -> impl Iterator<Item = &Path> {
        let arbiter = self.is_arbiter();
        let posix = self.blocks.iter().filter(|block| block.kind == POSIX);
        posix
            .filter(move |block| !arbiter && !self.has_ours(&block.name))
            .filter_map(|block| block.option("directory").map(Path::new))
    }

    /// The directories of the posix translators.
    pub(super) fn bricks(&self) -> impl Iterator<Item = &Path> {
        let posix = self.blocks.iter().filter(|block| block.kind == POSIX);
        posix.filter_map(|block| block.option("directory").map(Path::new))
    }

    fn is_arbiter(&self) -> bool {
        self.blocks.iter().any(|block| block.kind == ARBITER)
    }

    fn has_ours(&self, posix: &str) -> bool {
        let mut blocks = self.blocks.iter();
        blocks.any(|block| block.kind == BRICK && block.subvolumes.iter().any(|s| s == posix))
    }

    /// Puts our translator below the top of a client's graph; whether there was such a top.
    pub(super) fn insert_client(&mut self) -> bool {
        self.remove(&[NAME_CACHE]);
        let Some(top) = self.blocks.last_mut().filter(|block| block.kind == TOP) else {
            return false;
        };
        let [below] = top.subvolumes.as_slice() else {
            return false;
        };
        let client = Block::on_top_of(below, format!("{}-bd-client", top.name), CLIENT);
        top.subvolumes = vec![client.name.clone()];
        let index = self.blocks.len() - 1;
        self.blocks.insert(index, client);
        true
    }

    /// Lets the blocks from `index` on stand on `new` where they stood on `old`.
    fn redirect(&mut self, old: &str, new: &str, index: usize) {
        for block in &mut self.blocks[index..] {
            for below in &mut block.subvolumes {
                if below == old {
                    new.clone_into(below);
                }
            }
        }
    }
}
