//! One line of `ringmq check`.

use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Ok,
    /// The broker starts, but something the configuration promises will not hold.
    Warn,
    /// The broker will not start.
    Fail,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// What was looked at.
    pub name: &'static str,
    /// What was found, and the remedy where there is something to mend.
    pub detail: String,
}

impl Finding {
    /// Nothing to mend.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Finding {
        Finding { grade: Grade::Ok, name, detail: detail.into() }
    }

    /// Something to mend that does not keep the broker from starting; `detail` ends with the remedy.
    pub fn warn(name: &'static str, detail: impl Into<String>) -> Finding {
        Finding { grade: Grade::Warn, name, detail: detail.into() }
    }

    /// Something that keeps the broker from starting; `detail` ends with the remedy.
    pub fn fail(name: &'static str, detail: impl Into<String>) -> Finding {
        Finding { grade: Grade::Fail, name, detail: detail.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Ok => "ok  ",
            Grade::Warn => "warn",
            Grade::Fail => "fail",
        };
        write!(f, "{grade}  {}: {}", self.name, self.detail)
    }
}
