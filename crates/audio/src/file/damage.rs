//! What a recording lacks, and where.

use std::fmt;
use std::time::Duration;

/// A place where samples of a recording are missing from its waveform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// In the waveform: where the missing samples would begin.
    pub at: Duration,
    /// What is wrong there.
    pub kind: DamageKind,
}

/// Kinds of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// Bytes that cannot be decoded, or are missing, were left out.
    Lost,
    /// The file ends earlier than it says.
    CutOff,
}

impl Damage {
    /// The most that are kept of one recording.
    pub const MOST: usize = 100;
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.as_secs_f64();
        match self.kind {
            DamageKind::Lost => write!(f, "damaged at {seconds:.2} s; that part is left out"),
            DamageKind::CutOff => write!(f, "cut off at {seconds:.2} s; what follows is missing"),
        }
    }
}
