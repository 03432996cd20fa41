//! gluster-bdd as a process, with the file engine. Needs root for trusted.* attributes.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod support;
