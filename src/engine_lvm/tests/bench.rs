//! An engine on a volume group in memory.

use super::*;

pub(super) struct Bench {
    pub(super) lvm: Arc<FakeLvm>,
    pub(super) kernel: Arc<FakeKernel>,
    pub(super) engine: LvmEngine,
}

pub(super) fn name(text: &str) -> LvName {
    text.parse().unwrap()
}

pub(super) fn open(kernel: &Arc<FakeKernel>, pool: Option<&str>) -> Result<LvmEngine, EngineError> {
    kernel.engine(pool.map(name).as_ref())
}

/// A VG of a hundred extents; a quarter of them is the pool's, where there is one.
pub(super) fn bench(pool: Option<&str>) -> Bench {
    let vg = "vg0".parse().unwrap();
    let lvm = Arc::new(FakeLvm::new(&vg, Extents(100), pool.map(name).as_ref()));
    let kernel = Arc::new(FakeKernel::new(&lvm));
    let engine = open(&kernel, pool).unwrap();
    lvm.state().log.clear();
    Bench {
        lvm,
        kernel,
        engine,
    }
}

impl Bench {
    /// The commands since the last call.
    pub(super) fn commands(&self) -> Vec<String> {
        std::mem::take(&mut self.lvm.state().log)
    }

    pub(super) fn create(&self, text: &str, kind: ImageKind) -> Gfid {
        let gfid = Gfid::random();
        self.engine
            .create(gfid, &name(text), kind, Bytes(1))
            .unwrap();
        gfid
    }

    pub(super) fn name_of(&self, gfid: Gfid) -> String {
        self.engine.find(gfid).unwrap().unwrap().name.to_string()
    }
}

#[track_caller]
pub(super) fn refused<T: std::fmt::Debug>(
    result: Result<T, EngineError>,
    kind: FaultKind,
    word: &str,
) {
    let error = result.unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(word), "{error}");
}
