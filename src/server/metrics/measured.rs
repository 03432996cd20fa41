use std::sync::Arc;
use std::time::Instant;

use bd_lvm::{
    Command, Done, Lvm, LvmError, LvmUuid, MoveReport, PoolReport, PvName, PvReport, ThinDevice,
    VgReport,
};
use bd_model::{LvName, VgName};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper ends of the classes, in seconds: from what LVM takes at best to what it takes when it
/// waits for somebody's lock.
const CLASSES: [f64; 12] = [
    0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCommand {
    command: &'static str,
    outcome: &'static str,
}

/// How long commands of LVM took, with the time that they waited for those before them.
#[derive(Clone, Debug)]
pub struct Commands {
    durations: Family<OfCommand, Histogram>,
}

impl Default for Commands {
    fn default() -> Commands {
        Commands {
            durations: Family::new_with_constructor(|| Histogram::new(CLASSES)),
        }
    }
}

impl Commands {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "lvm_command_duration",
            "Time that a command of LVM took, with its wait for others",
            Unit::Seconds,
            self.durations.clone(),
        );
    }

    /// A command that took no time, so that there is something to show.
    #[cfg(test)]
    pub(super) fn try_one(&self) {
        let _ = self.measure("lvs", || Ok(()));
    }

    fn measure<T>(
        &self,
        command: &'static str,
        run: impl FnOnce() -> Result<T, LvmError>,
    ) -> Result<T, LvmError> {
        let begun = Instant::now();
        let result = run();
        let outcome = match &result {
            Ok(_) => "done",
            Err(_) => "failed",
        };
        self.durations
            .get_or_create(&OfCommand { command, outcome })
            .observe(begun.elapsed().as_secs_f64());
        result
    }
}

/// LVM, with a look at the clock.
#[derive(Debug)]
pub(crate) struct Measured {
    lvm: Arc<dyn Lvm>,
    commands: Commands,
}

impl Measured {
    pub(crate) fn new(lvm: Arc<dyn Lvm>, commands: Commands) -> Measured {
        Measured { lvm, commands }
    }
}

impl Lvm for Measured {
    fn report(&self, vg: &VgName) -> Result<VgReport, LvmError> {
        self.commands.measure("lvs", || self.lvm.report(vg))
    }

    fn name_of(&self, vg: &LvmUuid) -> Result<Option<VgName>, LvmError> {
        self.commands.measure("vgs", || self.lvm.name_of(vg))
    }

    fn pool(&self, vg: &VgName, pool: &LvName) -> Result<PoolReport, LvmError> {
        self.commands.measure("lvs", || self.lvm.pool(vg, pool))
    }

    fn thin_devices(&self, vg: &VgName, pool: &LvName) -> Result<Vec<ThinDevice>, LvmError> {
        self.commands
            .measure("lvs", || self.lvm.thin_devices(vg, pool))
    }

    fn pv(&self, pv: &PvName) -> Result<PvReport, LvmError> {
        self.commands.measure("pvs", || self.lvm.pv(pv))
    }

    fn moves(&self, vg: &VgName) -> Result<Vec<MoveReport>, LvmError> {
        self.commands.measure("lvs", || self.lvm.moves(vg))
    }

    fn change(&self, vg: &VgName, change: &Command) -> Result<Done, LvmError> {
        let command = change.program();
        self.commands
            .measure(command, || self.lvm.change(vg, change))
    }
}

#[cfg(test)]
mod tests {
    use bd_lvm::fake::FakeLvm;
    use bd_model::Extents;
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn commands_are_counted_by_name_and_outcome() {
        let vg: VgName = "vg0".parse().unwrap();
        let commands = Commands::default();
        let fake = Arc::new(FakeLvm::new(&vg, Extents(10), None));
        let lvm = Measured::new(fake, commands.clone());
        lvm.report(&vg).unwrap();
        lvm.change(&vg, &Command::RefreshVg).unwrap();
        lvm.pool(&vg, &"none".parse().unwrap()).unwrap_err();
        let mut registry = Registry::default();
        commands.register(&mut registry);
        let mut shown = String::new();
        text::encode(&mut shown, &registry).unwrap();
        let name = "lvm_command_duration_seconds";
        for (command, outcome) in [("lvs", "done"), ("lvs", "failed"), ("vgchange", "done")] {
            let line = format!("{name}_count{{command=\"{command}\",outcome=\"{outcome}\"}} 1");
            assert!(shown.contains(&line), "{line}: {shown}");
        }
    }
}
