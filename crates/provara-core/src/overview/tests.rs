use super::*;

fn line(actor: &str, event_type: &str, time: &str) -> Vec<u8> {
    format!(
        r#"{{"actor":"{actor}","actor_key_id":"bp1_0123456789abcdef","timestamp_utc":"{time}","type":"{event_type}"}}"#
    )
    .into_bytes()
}

fn overview(lines: &[Vec<u8>], cut: usize) -> Overview {
    let mut overview = Overview::default();
    let part = |lines: &[Vec<u8>]| Part::from_lines(lines.iter().map(|line| &line[..]));
    overview.append(part(&lines[..cut]));
    overview.append(part(&lines[cut..]));
    overview
}

#[test]
fn who_when_and_what_do_not_depend_on_where_the_log_is_cut() {
    let lines = [
        line("ann", "GENESIS", "2026-01-01T00:00:00Z"),
        line("bob", "NOTE", "2026-01-03T00:00:00Z"),
        b"no event".to_vec(),
        b"{\"actor\":\"carol\"}".to_vec(),
        line("ann", "NOTE", "yesterday"),
        line("ann", "KEY_REVOCATION", "2026-01-02T00:00:00Z"),
    ];
    for cut in 0..=lines.len() {
        let overview = overview(&lines, cut);
        assert_eq!(overview.unreadable(), 2);
        assert_eq!(
            overview.types(2),
            Ranking {
                first: vec![("NOTE".to_owned(), 2), ("GENESIS".to_owned(), 1)],
                more: 1,
                more_events: 1,
            }
        );
        let moments: Vec<_> = overview.key_events().iter().collect();
        assert_eq!(moments[0].line, 1);
        assert_eq!(
            (moments[1].line, moments[1].kind),
            (6, KeyEventKind::Revocation)
        );
        assert_eq!(
            overview.signed_by(&"bp1_0123456789abcdef".parse().unwrap()),
            4
        );
        let timeline = overview.timeline();
        let lanes: Vec<_> = timeline
            .lanes
            .iter()
            .map(|lane| {
                let extent = lane.extent;
                let counted: u64 = lane.cells.iter().map(|(_, count)| count).sum();
                let lines = (extent.first_line, extent.last_line);
                (lane.actor.as_deref(), extent.events, lines, counted)
            })
            .collect();
        assert_eq!(
            lanes,
            [(Some("ann"), 3, (1, 6), 2), (Some("bob"), 1, (2, 2), 1)]
        );
        assert_eq!(timeline.without_time, 1);
        let day = 86_400_000_000;
        let extent = timeline.lanes[0].extent;
        assert_eq!(extent.latest.unwrap() - extent.earliest.unwrap(), day);
    }
}

#[test]
fn the_many_share_a_lane() {
    let lines: Vec<_> = (0..40)
        .flat_map(|at| {
            let actor = format!("actor-{at:02}");
            let copies = if at >= 30 { 3 } else { 1 };
            vec![line(&actor, "NOTE", "2026-01-01T00:00:00Z"); copies]
        })
        .collect();
    let timeline = overview(&lines, 17).timeline();
    assert_eq!(timeline.lanes.len(), MOST_LANES + 1);
    assert_eq!(timeline.lanes[0].actor.as_deref(), Some("actor-00"));
    let last = timeline.lanes.last().unwrap();
    assert_eq!((&last.actor, last.actors), (&None, 28));
    assert_eq!(last.extent.events, 28);
    assert_eq!((last.extent.first_line, last.extent.last_line), (3, 30));
    assert_eq!(last.cells.iter().map(|(_, count)| count).sum::<u64>(), 28);
    assert!(timeline.lanes.iter().any(|it| it.extent.events == 3));
}

#[test]
fn names_beyond_what_is_kept_are_counted() {
    let mut overview = Overview::default();
    for at in 0..20 {
        let name = format!("{at:02}{}", "x".repeat(MOST_BYTES / 10));
        let text = line(&name, &name, "2026-01-01T00:00:00Z");
        overview.append(Part::from_lines([&text[..]]));
    }
    let types = overview.types(3);
    assert_eq!(types.first.len(), 3);
    assert_eq!(types.more_events, 17);
    assert!(types.more < 17);
    let timeline = overview.timeline();
    let events: u64 = timeline.lanes.iter().map(|it| it.extent.events).sum();
    let in_cells = timeline.lanes.iter().flat_map(|it| &it.cells);
    assert_eq!(events, 20);
    assert_eq!(in_cells.map(|(_, count)| count).sum::<u64>(), 20);
}
