//! The trace that a piece of work belongs to: W3C Trace Context, carried from a request through frames into the entity's log lines.

use std::sync::Arc;

/// Bytes of a `traceparent` of version 00: "00-", 32 digits of the trace, "-", 16 of the parent, "-", 2 of flags.
const TRACEPARENT_BYTES: usize = 55;

tokio::task_local! {
    static CURRENT: Trace;
}

/// A trace context (<https://www.w3.org/TR/trace-context/>, version 00).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace(Arc<str>);

impl Trace {
    /// Reads a `traceparent` header; anything malformed is nobody's trace.
    pub fn parse(header: &str) -> Option<Self> {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let some = |part: &str| part.bytes().any(|byte| byte != b'0');
        let parts: Vec<&str> = header.split('-').collect();
        match parts.as_slice() {
            ["00", trace, parent, flags]
                if header.len() == TRACEPARENT_BYTES
                    && (trace.len(), parent.len(), flags.len()) == (32, 16, 2)
                    && digits(trace)
                    && digits(parent)
                    && digits(flags)
                    && some(trace)
                    && some(parent) =>
            {
                Some(Self(header.into()))
            }
            _ => None,
        }
    }

    /// A new trace from 24 random bytes: 16 for the trace, 8 for its first span.
    pub fn fresh(random: [u8; 24]) -> Self {
        use std::fmt::Write as _;
        let mut header = String::with_capacity(TRACEPARENT_BYTES);
        header.push_str("00-");
        for (at, byte) in random.iter().enumerate() {
            if at == 16 {
                header.push('-');
            }
            let _ = write!(header, "{byte:02x}"); // Writing to a String cannot fail.
        }
        header.push_str("-01");
        Self(header.into())
    }

    /// The header's value.
    pub fn traceparent(&self) -> &str {
        &self.0
    }

    /// The trace's id, 32 hexadecimal digits: what log lines and answers carry.
    pub fn id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }
}

/// The trace of the current task, if it has one.
pub fn current() -> Option<Trace> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Runs work as part of a trace.
pub async fn within<F: Future>(trace: Trace, work: F) -> F::Output {
    CURRENT.scope(trace, work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_trace_is_read_made_and_carried() {
        let made = Trace::fresh(std::array::from_fn(|at| u8::try_from(at + 1).unwrap_or(0)));
        assert_eq!(made.traceparent(), "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01");
        assert_eq!(Trace::parse(made.traceparent()), Some(made.clone()));
        assert_eq!(made.id(), "0102030405060708090a0b0c0d0e0f10");
        assert_eq!(current(), None);
        assert_eq!(within(made.clone(), async { current() }).await, Some(made));
        for wrong in [
            "",
            "00",
            "01-0102030405060708090a0b0c0d0e0f10-1112131415161718-01",
            "00-00000000000000000000000000000000-1112131415161718-01",
            "00-0102030405060708090a0b0c0d0e0f10-0000000000000000-01",
            "00-0102030405060708090A0B0C0D0E0F10-1112131415161718-01",
            "00-0102030405060708090a0b0c0d0e0f1-11121314151617180-01",
            "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01-more",
            "00-é102030405060708090a0b0c0d0e0f1-1112131415161718-01",
        ] {
            assert_eq!(Trace::parse(wrong), None, "{wrong}");
        }
    }
}
