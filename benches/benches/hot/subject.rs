//! Something that is measured: what it is called, how it is made ready, and how it is run many times. It never looks at
//! a clock; the caller measures.

/// Runs the operation as often as it is told, one after another.
pub type Run = Box<dyn FnMut(u64)>;

/// One operation under measurement.
pub struct Subject {
    /// `group/what/variant`; the group is the word before the first slash.
    pub name: String,
    /// Whether its instructions are counted too; not where making it ready takes long.
    pub is_counted: bool,
    prepare: Box<dyn Fn() -> Run>,
}

impl Subject {
    /// An operation that `prepare` makes ready. What `prepare` returns is called once per operation.
    pub fn new<Operation: FnMut() + 'static>(
        name: impl Into<String>,
        prepare: impl Fn() -> Operation + 'static,
    ) -> Subject {
        let prepare = Box::new(move || {
            let mut operation = prepare();
            // The loop is compiled together with the operation, so that a call through a pointer is paid once per run.
            let run = move |times: u64| (0..times).for_each(|_| operation());
            Box::new(run) as Run
        });
        Subject { name: name.into(), is_counted: true, prepare }
    }

    /// The same, with instructions counted only if `is_counted`.
    pub fn counted(self, is_counted: bool) -> Subject {
        Subject { is_counted, ..self }
    }

    /// The word before the first slash of the name.
    pub fn group(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Makes the operation ready. What it keeps is freed with the result.
    pub fn prepare(&self) -> Run {
        (self.prepare)()
    }
}
