/// A time for people, from seconds: its largest unit, and the next where that says more.
///
/// ```
/// assert_eq!(bd_model::span(59), "59 seconds");
/// assert_eq!(bd_model::span(3 * 3600 + 1200), "3 hours 20 minutes");
/// assert_eq!(bd_model::span(86_400 * 12 + 3600), "12 days");
/// ```
pub fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let text = |count: u64, name: &str| match count {
        1 => format!("1 {name}"),
        _ => format!("{count} {name}s"),
    };
    let Some(place) = UNITS.iter().position(|(unit, _)| seconds >= *unit) else {
        return text(0, "second");
    };
    let (unit, name) = UNITS[place];
    let (count, rest) = (seconds / unit, seconds % unit);
    let mut spoken = text(count, name);
    if let Some((next, name)) = UNITS.get(place + 1)
        && count < 10
        && rest >= *next
    {
        spoken.push(' ');
        spoken.push_str(&text(rest / next, name));
    }
    spoken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units_at_most() {
        for (seconds, spoken) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (60, "1 minute"),
            (61, "1 minute 1 second"),
            (3599, "59 minutes"),
            (3600, "1 hour"),
            (7265, "2 hours 1 minute"),
            (86_399, "23 hours"),
            (86_400, "1 day"),
            (86_459, "1 day"),
            (9 * 86_400 + 7200, "9 days 2 hours"),
        ] {
            assert_eq!(span(seconds), spoken);
        }
    }
}
