//! What the page shows beside what the service knows.

use crate::names::Names;
use crate::wyoming_server::Uri;

/// What the page shows beside what the service knows.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Where Wyoming's clients connect, with the ports that the system chose.
    pub(crate) wyoming: Vec<Uri>,
    /// Names to expect.
    pub(crate) names: Names,
    /// Utterances that are recognised together, unless there is memory for fewer.
    pub(crate) slots: usize,
}
