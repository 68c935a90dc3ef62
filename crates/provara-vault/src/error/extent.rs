//! How far a batch came, in words.

/// What is known of the events of a batch that could not look at its log again.
pub(super) fn seen_last(acknowledged: u64) -> String {
    match acknowledged {
        0 => "none of its events had been appended".to_owned(),
        1 => "its first event was in the log and sealed when it last held the lock".to_owned(),
        more => {
            format!("its first {more} events were in the log and sealed when it last held the lock")
        }
    }
}

/// How far a batch came.
pub(super) fn standing(durable: u64, sealed: u64) -> String {
    let first = match durable {
        0 => return "none of its events is in the log".to_owned(),
        1 => "its first event is".to_owned(),
        durable => format!("its first {durable} events are"),
    };
    let sealed = match sealed {
        0 => "durable, and not sealed yet".to_owned(),
        sealed if sealed == durable => "sealed".to_owned(),
        sealed => format!("durable, the first {sealed} of them sealed"),
    };
    format!("{first} in the log and {sealed}")
}
