//! Events for Gluster's notifier, glustereventsd(8), which passes them on to webhooks.
//!
//! It takes datagrams on port 55555: the seconds since 1970, the number of an event, and what there
//! is to say as `key=value;key=value`. It drops numbers that are not in its own list, to which
//! nothing can be added from outside, and none of them is about thin pools. Ours are sent as
//! `DHT_DISK_USAGE`, with which GlusterFS tells that a brick is nearly full: `source=gluster-bdd`
//! and `kind` say what they are. They are written to events.log and to the webhooks as they are.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;

use bd_model::{Bytes, LvName, VgName};
use bd_proto::JobInfo;

use crate::clock::now;
use crate::thin_pool::rules::{Fill, Part};

/// `EVENT_DHT_DISK_USAGE` of GlusterFS 10 and 11 (eventtypes.h; numbers are only ever added at the
/// end of the list).
const DHT_DISK_USAGE: u32 = 140;

/// Where events are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a glustereventsd at this address.
    Address(SocketAddr),
    /// Nowhere.
    Off,
}

impl Target {
    /// Where a glustereventsd of this host listens, unless it was configured otherwise.
    pub const DEFAULT: Target = Target::Address(SocketAddr::new(
        std::net::IpAddr::V4(Ipv4Addr::LOCALHOST),
        55555,
    ));
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(address) => address.fmt(f),
            Target::Off => f.write_str("off"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        if text == "off" {
            return Ok(Target::Off);
        }
        text.parse()
            .map(Target::Address)
            .map_err(|_| "expected an address and a port, as in 127.0.0.1:55555, or off".to_owned())
    }
}

/// Sends events; copies send to the same place. The default sends nothing.
#[derive(Clone, Debug, Default)]
pub struct Events(Option<Arc<Line>>);

#[derive(Debug)]
struct Line {
    socket: UdpSocket,
    address: SocketAddr,
}

/// Something that an admin would like to know at once.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A part of a pool is nearly full, and nothing extends it.
    PoolNearlyFull(Part, Fill),
    /// A pool has no free data blocks: writes fail.
    PoolFull,
    /// A part of a pool was extended by so much; it was so full before.
    PoolExtended(Part, Fill, Bytes),
    /// The metadata of a pool are full or damaged, or it has failed: it wants repair.
    PoolNeedsCheck,
    /// A pool takes writes again.
    PoolGood,
    /// A job could not be finished.
    JobFailed(&'a JobInfo),
}

impl Events {
    /// Sends to `target`, where somebody may listen or not.
    pub fn to(target: Target) -> io::Result<Events> {
        let Target::Address(address) = target else {
            return Ok(Events(None));
        };
        let own: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own)?;
        socket.set_nonblocking(true)?;
        Ok(Events(Some(Arc::new(Line { socket, address }))))
    }

    /// Tells of a pool.
    pub fn pool(&self, vg: &VgName, pool: &LvName, event: Event<'_>) {
        self.send(event, &[("vg", vg.to_string()), ("pool", pool.to_string())]);
    }

    /// Tells of a job that has failed.
    pub fn job_failed(&self, job: &JobInfo) {
        self.send(Event::JobFailed(job), &[("vg", job.vg.to_string())]);
    }

    fn send(&self, event: Event<'_>, about: &[(&str, String)]) {
        let Some(line) = &self.0 else { return };
        let text = text(now(), event, about);
        // Nobody waits for it, and nobody may listen.
        if let Err(error) = line.socket.send_to(text.as_bytes(), line.address) {
            tracing::debug!("cannot send an event to {}: {error}", line.address);
        }
    }
}

/// A datagram.
fn text(at: u64, event: Event<'_>, about: &[(&str, String)]) -> String {
    let usage = |part: Part, fill: Fill| {
        vec![
            ("part", part.name().to_owned()),
            ("usage", percent(fill)),
            ("used", fill.used.0.to_string()),
            ("size", fill.total.0.to_string()),
        ]
    };
    let (kind, more) = match event {
        Event::PoolNearlyFull(part, fill) => ("pool_nearly_full", usage(part, fill)),
        Event::PoolFull => ("pool_full", vec![]),
        Event::PoolExtended(part, fill, by) => {
            let mut more = usage(part, fill);
            more.push(("by", by.0.to_string()));
            ("pool_extended", more)
        }
        Event::PoolNeedsCheck => ("pool_needs_check", vec![]),
        Event::PoolGood => ("pool_good", vec![]),
        Event::JobFailed(job) => {
            let more = vec![
                ("job", job.id.to_string()),
                ("job_kind", job.kind.to_string()),
                ("brick", job.brick.display().to_string()),
                ("name", job.name.clone()),
                ("reason", job.reason.clone().unwrap_or_default()),
            ];
            ("job_failed", more)
        }
    };
    let head = [
        ("source", "gluster-bdd".to_owned()),
        ("kind", kind.to_owned()),
    ];
    let words: Vec<String> = head
        .iter()
        .chain(about)
        .chain(&more)
        .map(|(key, value)| format!("{key}={}", plain(value)))
        .collect();
    format!("{at} {DHT_DISK_USAGE} {}", words.join(";"))
}

/// In hundredths, as GlusterFS writes it.
fn percent(fill: Fill) -> String {
    let hundredths = match fill.total.0 {
        0 => 10_000,
        total => u128::from(fill.used.0) * 10_000 / u128::from(total),
    };
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

/// A value without what glustereventsd takes for the end of one; it drops an event that it cannot
/// take apart.
fn plain(value: &str) -> String {
    let plain = |c| match c {
        '=' => ':',
        ';' => ',',
        c if c.is_control() => ' ',
        c => c,
    };
    value.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use bd_proto::{JobKind, JobState};

    use super::*;

    /// What glustereventsd makes of a datagram: it splits at blanks twice, at `;`, and each part at
    /// its one `=`.
    fn read(text: &str) -> Vec<(&str, &str)> {
        let mut words = text.splitn(3, ' ');
        assert_eq!(words.next(), Some("7"));
        assert_eq!(words.next(), Some("140"));
        let parts = words.next().unwrap().split(';');
        let parts = parts.map(|part| {
            assert_eq!(part.matches('=').count(), 1, "{part}");
            part.split_once('=').unwrap()
        });
        parts.collect()
    }

    #[test]
    fn events_are_what_glustereventsd_reads() {
        let about = [("vg", "vg0".to_owned()), ("pool", "pool".to_owned())];
        let fill = Fill {
            used: Bytes(970),
            total: Bytes(1000),
        };
        let text_of = |event| text(7, event, &about);
        let near = text_of(Event::PoolNearlyFull(Part::Data, fill));
        assert_eq!(
            near,
            "7 140 source=gluster-bdd;kind=pool_nearly_full;vg=vg0;pool=pool;part=data;\
             usage=97.00 %;used=970;size=1000"
        );
        assert_eq!(read(&near).len(), 8);
        let extended = text_of(Event::PoolExtended(Part::Metadata, fill, Bytes(200)));
        assert_eq!(read(&extended).last(), Some(&("by", "200")));
        for (event, kind) in [
            (Event::PoolFull, "pool_full"),
            (Event::PoolNeedsCheck, "pool_needs_check"),
            (Event::PoolGood, "pool_good"),
        ] {
            assert_eq!(read(&text_of(event))[1], ("kind", kind));
        }
    }

    #[test]
    fn no_value_ends_another_one() {
        let job = JobInfo {
            id: 3,
            kind: JobKind::Hydrate,
            state: JobState::Failed,
            vg: "vg0".parse().unwrap(),
            brick: "/srv/a=b;c".into(),
            gfid: None,
            name: "/vg0/x;y=z\n".to_owned(),
            done: Bytes(0),
            total: None,
            rate: Bytes(0),
            created: 0,
            started: None,
            ended: None,
            reason: None,
        };
        let text = text(7, Event::JobFailed(&job), &[]);
        let parts = read(&text);
        assert!(parts.contains(&("name", "/vg0/x,y:z ")), "{text}");
        assert!(parts.contains(&("brick", "/srv/a:b,c")), "{text}");
    }

    #[test]
    fn targets_are_addresses_or_nothing() {
        assert_eq!("off".parse(), Ok(Target::Off));
        assert_eq!("127.0.0.1:55555".parse(), Ok(Target::DEFAULT));
        assert_eq!(Target::DEFAULT.to_string(), "127.0.0.1:55555");
        assert!("55555".parse::<Target>().unwrap_err().contains("or off"));
    }
}
