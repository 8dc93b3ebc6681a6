//! `hooks` (config.md, "POSIX-platform Hooks").

use super::record::{List, Matching, Positive, Shape};
use super::strings::{AbsolutePath, Variable};
use crate::json::Text as Str;
use crate::record;

type Text = Str<'static>;

record! {
    /// The six moments at which programs of the engine's run.
    Hooks {
        prestart "prestart": List<'static, Hook<'static>>;
        create_runtime "createRuntime": List<'static, Hook<'static>>;
        create_container "createContainer": List<'static, Hook<'static>>;
        start_container "startContainer": List<'static, Hook<'static>>;
        poststart "poststart": List<'static, Hook<'static>>;
        poststop "poststop": List<'static, Hook<'static>>;
    }
}

impl<'a> Hooks<'a> {
    /// The hooks of the field number `index` of the table above.
    pub fn number(&self, index: usize) -> List<'a, Hook<'static>> {
        <List<'static, Hook<'static>> as Shape>::field(self.0.member(index))
    }
}

record! {
    /// One of them: as execve(2) takes it.
    Hook {
        /// Absolute.
        path "path": Matching<AbsolutePath>, Required;
        args "args": List<'static, Text>;
        env "env": List<'static, Matching<Variable>>;
        /// Seconds.
        timeout "timeout": Positive;
    }
}
