//! What can be wrong with a host, before any brick is looked at.

mod bricks;
mod extender;
mod images;
mod pool;
mod programs;
mod services;
mod volumes;

pub(crate) use programs::missing_on_clients;

use bd_proto::EngineSpec;
use serde::Serialize;

use crate::CliError;
use crate::context::Context;
use crate::storage::{groups, lvm, pools, unseen_members};

/// One thing that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// For programs.
    pub(crate) kind: String,
    /// For people: the object, what is wrong with it and what mends it.
    pub(crate) message: String,
    /// Whether it is only worth knowing.
    pub(crate) advice: bool,
    /// Whether it was mended just now.
    pub(crate) repaired: bool,
}

/// A finding with what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    kind: &'static str,
    /// The object and what is wrong with it.
    cause: String,
    cure: Cure,
}

/// What mends a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cure {
    /// Nothing is wrong.
    None,
    /// An admin's decision, in words.
    Admin(String),
    /// A command of LVM that can do no harm: its words.
    Lvm(Vec<String>),
}

impl Found {
    pub(crate) fn new(kind: &'static str, cause: String, cure: impl Into<String>) -> Found {
        let cure = Cure::Admin(cure.into());
        Found { kind, cause, cure }
    }

    fn note(kind: &'static str, cause: String) -> Found {
        Found {
            kind,
            cause,
            cure: Cure::None,
        }
    }

    /// A finding that `words` mend.
    fn mended_by(kind: &'static str, cause: String, words: &[&str]) -> Found {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Found {
            kind,
            cause,
            cure: Cure::Lvm(words),
        }
    }

    /// Mends it if that is asked for and safe, and tells it.
    pub(crate) fn settle(self, repair: bool) -> Finding {
        let mut repaired = false;
        let message = match &self.cure {
            Cure::None => self.cause,
            Cure::Admin(cure) => format!("{}; {cure}", self.cause),
            Cure::Lvm(words) => {
                let command = words.join(" ");
                let (program, args) = words.split_first().map_or(("", &[][..]), |(p, a)| (p, a));
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                match repair.then(|| lvm(program, &args)) {
                    None => format!("{}; run: {command}", self.cause),
                    Some(Ok(_)) => {
                        repaired = true;
                        format!("{}; ran: {command}", self.cause)
                    }
                    Some(Err(error)) => {
                        format!("{}; it was not repaired: {error}", self.cause)
                    }
                }
            }
        };
        Finding {
            kind: self.kind.to_owned(),
            message,
            advice: self.cure == Cure::None,
            repaired,
        }
    }
}

/// Sets what is safe to set of a new brick's pool, and says what that was: what a check would ask for.
pub(crate) fn settle_pool(engine: &EngineSpec) -> Vec<String> {
    let EngineSpec::Lvm {
        vg,
        pool: Some(name),
    } = engine
    else {
        return Vec::new();
    };
    // A pool that cannot be read is told of by a check.
    let pools = pools().unwrap_or_default();
    let ours = pools
        .iter()
        .filter(|pool| pool.vg == vg.as_str() && pool.pool == name.as_str());
    let found = ours.flat_map(pool::findings);
    found
        .filter(|found| matches!(found.cure, Cure::Lvm(_)))
        .map(|found| found.settle(true).message)
        .collect()
}

/// Checks this host; each finding names its cure. With `repair`, does what is safe of that: it
/// changes settings of pools and images, never what they hold.
pub(crate) fn host(context: &Context, repair: bool) -> Result<Vec<Finding>, CliError> {
    let pools = pools()?;
    let mut found: Vec<Found> = pools.iter().flat_map(pool::findings).collect();
    let groups = groups()?;
    found.extend(services::findings(&context.socket, &groups));
    found.extend(extender::findings(&context.socket, &pools, &groups)?);
    found.extend(images::findings()?);
    for path in unseen_members()? {
        found.push(Found::new(
            "hidden_pv",
            format!(
                "{path} is a physical volume, but LVM does not show it: the devices file or a \
                 filter hides it"
            ),
            format!("if it is one of this host's, run: lvmdevices --adddev {path}"),
        ));
    }
    found.extend(programs::findings());
    found.extend(volumes::findings(context));
    Ok(found.into_iter().map(|one| one.settle(repair)).collect())
}
