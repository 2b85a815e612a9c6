//! Where the clients of an interface are steered now, and why not in the NIC: what `weir status` says.

use serde::{Deserialize, Serialize};

use super::program::AttachMode;

/// Where the clients of an interface are steered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum InterfaceMode {
    /// In the driver.
    Native,
    /// Behind the driver.
    Generic,
    /// In user space.
    UserSpace {
        /// Why.
        reason: String,
        /// The program ran there, and should.
        lost: bool,
    },
}

impl InterfaceMode {
    /// User space, as the configuration or an administrator has it.
    pub fn user_space(reason: impl Into<String>) -> Self {
        Self::UserSpace {
            reason: reason.into(),
            lost: false,
        }
    }

    /// User space, against the configuration.
    pub fn lost(reason: impl Into<String>) -> Self {
        Self::UserSpace {
            reason: reason.into(),
            lost: true,
        }
    }

    /// The program ran there, and should.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::UserSpace { lost: true, .. })
    }
}

impl From<AttachMode> for InterfaceMode {
    fn from(mode: AttachMode) -> Self {
        match mode {
            AttachMode::Native => Self::Native,
            AttachMode::Generic => Self::Generic,
        }
    }
}

impl std::fmt::Display for InterfaceMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Native => f.write_str("in the NIC (native)"),
            Self::Generic => f.write_str("in the kernel behind the NIC's driver (generic)"),
            Self::UserSpace {
                reason,
                lost: false,
            } => write!(f, "in user space: {reason}"),
            Self::UserSpace { reason, lost: true } => {
                write!(f, "in user space, NOT IN THE NIC: {reason}")
            }
        }
    }
}
