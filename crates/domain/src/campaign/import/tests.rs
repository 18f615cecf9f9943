//! Lists as people bring them.

use super::super::limits::{COLUMNS_MAX, LINE_BYTES_MAX};
use super::*;

fn import(
    format: Format,
    text: &[u8],
    country: Option<&str>,
    piece: usize,
) -> Result<(Vec<Listed>, Imported), ImportProblem> {
    let mut importer =
        Importer::new(format, HashSet::from(["+14155552600".to_owned()]), 1_000_000, country.map(str::to_owned));
    let mut targets = Vec::new();
    for bytes in text.chunks(piece) {
        importer.feed(bytes)?;
        targets.extend(importer.take());
    }
    let (rest, result) = importer.finish()?;
    targets.extend(rest);
    Ok((targets, result))
}

fn csv(text: &str) -> (Vec<Listed>, Imported) {
    import(Format::Csv, text.as_bytes(), Some("US"), 7).expect("a list")
}

#[test]
fn a_list_is_read_and_each_line_that_cannot_be_is_named() {
    let text = "\u{feff}Name;Phone Number;Company\r\n\
        \"Ann; the first\";(415) 555-2671;Acme\r\n\
        Bob;12;Acme\r\n\
        ;+41 44 668 18 00;\"A \"\"quoted\"\"\nfirm\"\r\n\
        Ann again;+1 415-555-2671;\r\n\
        There before;4155552600;\r\n\
        \r\n\
        Spreadsheet;4.15555E+09;\r\n\
        None;;x\r\n";
    let (targets, result) = csv(text);
    assert_eq!((result.accepted, result.rejected, result.duplicates), (2, 3, 2));
    assert_eq!(targets[0].phone, "+14155552671");
    assert_eq!(targets[0].name.as_deref(), Some("Ann; the first"));
    assert_eq!(targets[0].zones, ["America/Los_Angeles"]);
    assert_eq!(
        (targets[1].phone.as_str(), targets[1].fields["company"].as_str()),
        ("+41446681800", "A \"quoted\"\nfirm")
    );
    let told: Vec<(u64, &str)> = result.told.iter().map(|one| (one.line, one.reason.as_str())).collect();
    assert_eq!(told[0], (3, "this is not a phone number"));
    assert_eq!(told[1].0, 9, "lines are counted as an editor counts them");
    assert!(told[1].1.contains("rounded"), "{told:?}");
    assert_eq!(told[2], (10, "there is no phone number"));
}

#[test]
fn a_first_line_that_does_not_fit_is_named_and_no_empty_list() {
    let columns: Vec<String> = (0..COLUMNS_MAX + 1).map(|n| format!("c{n}")).collect();
    let long = "x".repeat(LINE_BYTES_MAX + 10);
    for header in [format!("phone,{}", columns.join(",")), format!("phone,{long}")] {
        let list = format!("{header}\n+14155552671,Ann\n");
        let problem = import(Format::Csv, list.as_bytes(), Some("US"), 999).expect_err("nothing says what is what");
        assert!(matches!(&problem, ImportProblem::LongHeader { line: 1, .. }), "{problem:?}");
        assert!(problem.to_string().contains("line 1, which names the columns"), "{problem}");
    }
}

#[test]
fn a_line_with_more_values_than_columns_is_refused_and_empty_ones_at_its_end_are_not() {
    let (people, imported) =
        csv("phone,name\n+14155552671,Ann,,\n+14155552672,Lee, Ann,Acme\n+14155552673,\"Lee, Ann\"\n");
    let names: Vec<Option<&str>> = people.iter().map(|one| one.name.as_deref()).collect();
    assert_eq!(names, [Some("Ann"), Some("Lee, Ann")]);
    let [refused] = imported.told.as_slice() else { panic!("{imported:?}") };
    assert_eq!(refused.line, 3);
    assert!(refused.reason.contains("4 values") && refused.reason.contains("2 columns"), "{}", refused.reason);
}

#[test]
fn separators_headers_and_numbers_alone_are_recognised() {
    for text in [
        "phone,first_name,last_name\n+14155552671,Ann,Lee\n",
        "first_name\tlast_name\tmobile\nAnn\tLee\t+14155552671",
        "last_name|first_name|tel\nLee|Ann|+14155552671\n",
        "E-Mail;First Name;Last Name;Cell\n\"a,b,c,d,e\";Ann;Lee;+14155552671\n",
    ] {
        let (targets, _) = csv(text);
        assert_eq!(
            (targets[0].phone.as_str(), targets[0].name.as_deref()),
            ("+14155552671", Some("Ann Lee")),
            "{text}"
        );
    }
    let (targets, result) = csv("415-555-2671\n415-555-2672\n");
    assert_eq!((targets.len(), result.rejected), (2, 0));
    let (targets, _) = csv("phone,country\n044 668 18 00,ch\n(415) 555-2671,\n");
    assert_eq!((targets[0].phone.as_str(), targets[1].phone.as_str()), ("+41446681800", "+14155552671"));
}

#[test]
fn what_is_no_list_is_refused_with_what_to_do() {
    let utf16: Vec<u8> = "phone\r\n+14155552671".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: [(&[u8], &str); 6] = [
        (&[&[0xff, 0xfe][..], &utf16].concat(), "UTF-16"),
        (&utf16, "UTF-16"),
        (b"PK\x03\x04\x14\x00", "spreadsheet"),
        (b"", "empty"),
        (b"name,email\nAnn,a@b.ch\n", "no column is called phone; the columns are: name, email"),
        (b"\n \n", "empty"),
    ];
    for (bytes, reason) in cases {
        for format in [Format::Csv, Format::Json] {
            if format == Format::Json && reason.starts_with("no column") {
                continue;
            }
            let problem = import(format, bytes, Some("US"), 3).expect_err(reason);
            assert!(problem.to_string().contains(reason), "{problem}");
        }
    }
}

#[test]
fn a_line_in_another_encoding_is_refused_and_the_others_are_read() {
    let mut text = b"name,phone\n".to_vec();
    text.extend(b"M\xfcller,+41446681800\n");
    text.extend("Müller,+41446681801\n".as_bytes());
    let (targets, result) = import(Format::Csv, &text, None, 5).expect("a list");
    assert_eq!((targets.len(), result.rejected), (1, 1));
    assert!(result.told[0].reason.contains("Windows-1252"), "{:?}", result.told);
    assert_eq!(result.told[0].line, 2);
}

#[test]
fn a_hundred_thousand_lines_stay_within_bounds_and_refusals_are_counted() {
    let mut text = String::from("phone,name\n");
    for n in 0..100_000 {
        text.push_str(&if n % 4 == 0 { format!("x{n},bad\n") } else { format!("+1415{:07},n{n}\n", 2_000_000 + n) });
    }
    let mut importer = Importer::new(Format::Csv, HashSet::new(), 60_000, None);
    let (mut taken, mut most) = (0, 0);
    for bytes in text.as_bytes().chunks(8_192) {
        importer.feed(bytes).expect("a list");
        let targets = importer.take();
        most = most.max(targets.len());
        taken += targets.len();
    }
    let (rest, result) = importer.finish().expect("a list");
    assert!(most < 1_000, "{most} at once");
    assert_eq!((taken + rest.len(), result.accepted), (60_000, 60_000));
    assert_eq!(result.rejected, 40_000);
    assert_eq!(result.told.len(), REJECTED_TOLD_MAX);
}

#[test]
fn an_open_quote_or_an_endless_line_costs_one_line_and_not_the_memory() {
    let text = format!("phone,name\n+14155552671,\"{}\n", "x\n".repeat(200_000));
    let (targets, result) = csv(&text);
    assert_eq!((targets.len(), result.rejected), (0, 200_000), "the lines after it are read");
    assert!(result.told[0].line == 2 && result.told[0].reason.contains("quotation mark"), "{:?}", result.told[0]);
    let wide = format!("phone,name\n{}\n+14155552671,Ann\n", ",".repeat(5_000));
    let (targets, result) = csv(&wide);
    assert_eq!((targets.len(), result.rejected), (1, 1));
}

#[test]
fn a_quote_that_is_not_closed_is_named_by_its_line_and_swallows_nothing() {
    let text = "phone,name\n\
        +14155552671,\"Ann Lee\n\
        +14155552672,Bob\n\
        +14155552673,\"Carl \"\"C\"\" Moe\nlives here\"\n\
        +14155552674,\"Dora\n\
        +14155552675,\"Ed Poe\"\n\
        +14155552676,5\" pipe\n\
        +14155552677,\"Flo\n";
    for piece in [1, 7, 1_000] {
        let (targets, result) = import(Format::Csv, text.as_bytes(), None, piece).expect("a list");
        let numbers: Vec<&str> = targets.iter().map(|target| &target.phone[8..]).collect();
        assert_eq!(numbers, ["2672", "2673", "2675", "2676"]);
        assert_eq!(targets[1].name.as_deref(), Some("Carl \"C\" Moe\nlives here"));
        let told: Vec<u64> = result.told.iter().map(|one| one.line).collect();
        assert_eq!(told, [2, 6, 9]);
        assert!(result.told.iter().all(|one| one.reason.contains("quotation mark")), "{:?}", result.told);
    }
    let open = import(Format::Csv, b"\"phone,name\n+14155552671,Ann\n", None, 4).expect_err("no header");
    assert!(open.to_string().contains("line 1"), "{open}");
}

#[test]
fn a_hundred_thousand_quotes_that_are_not_closed_are_named_within_the_time_of_a_request() {
    let text = format!("phone,name\n{}", "x,\"Ann\n".repeat(100_000));
    let begun = std::time::Instant::now();
    let (targets, result) = import(Format::Csv, text.as_bytes(), None, 8_192).expect("a list");
    assert_eq!((targets.len(), result.rejected), (0, 100_000));
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

#[test]
fn json_is_read_as_lines_and_as_a_list() {
    let lines = "{\"phone\":\"+14155552671\",\"name\":\"Ann\",\"fields\":{\"Plan Name\":\"gold\",\"n\":3}}\n\
        not json\n{\"phone\":\"+14155552671\"}\n{\"phone\":}\n{\"name\":\"a } in a \\\" string\"}\n";
    let list = format!("[{}]", "{\"phone\":\"+14155552671\"},\n {\"phone\":\"+14155552672\",\"name\":null}");
    for piece in [1, 4, 1_000] {
        let (targets, result) = import(Format::Json, lines.as_bytes(), None, piece).expect("a list");
        assert_eq!((targets[0].fields["plan_name"].as_str(), targets[0].fields["n"].as_str()), ("gold", "3"));
        let told: Vec<u64> = result.told.iter().map(|one| one.line).collect();
        assert_eq!((told, result.duplicates), (vec![2, 4, 5], 1));
        let (targets, result) = import(Format::Json, list.as_bytes(), None, piece).expect("a list");
        assert_eq!((targets.len(), result.rejected), (2, 0));
    }
    let open = import(Format::Json, b"{\"phone\":\"+1", None, 3).expect("a list");
    assert_eq!(open.1.told[0].reason, "the object is not closed");
}

#[test]
fn leads_are_selected_by_filter_and_keep_their_names() {
    let lead = |id: &str, phone: Option<&str>, score: i32| {
        let mut lead = crate::lead::State {
            id: id.into(),
            score,
            created_at_ms: 1_000,
            updated_at_ms: 2_000,
            ..Default::default()
        };
        lead.edited = phone.map(|phone| ("phone".to_owned(), phone.to_owned())).into_iter().collect();
        lead.edited.insert("name".into(), "Ann".into());
        lead.edited.insert("area".into(), "Bern".into());
        lead
    };
    let filter = LeadFilter {
        min_score: Some(50),
        quiet_since: Some(crate::campaign::settings::Instant { ms: 3_000 }),
        ..Default::default()
    };
    let leads = [lead("a", Some("(415) 555-2671"), 80), lead("b", Some("(415) 555-2672"), 20), lead("c", None, 90)];
    let mut importer = Importer::of_leads(HashSet::new(), 10, Some("US".into()));
    for lead in leads.iter().filter(|lead| filter.matches(lead)) {
        importer.lead(lead);
    }
    let (targets, result) = importer.finish().expect("leads");
    assert_eq!((targets.len(), result.rejected), (1, 1));
    assert_eq!(
        (targets[0].lead_id.as_ref().map(|id| id.as_str()), targets[0].name.as_deref()),
        (Some("a"), Some("Ann"))
    );
    assert_eq!(targets[0].fields.keys().collect::<Vec<_>>(), ["area"]);
}

proptest::proptest! {
    #[test]
    fn no_bytes_break_the_reader_and_pieces_make_no_difference(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400), piece in 1_usize..50,
        text in "(phone|name|,|;|\"|\n|\r\n|\\{|\\}|\\[|:|\\+14155552671|4155552672|x){0,60}",
    ) {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            for format in [Format::Csv, Format::Json] {
                let (pieces, whole) = (import(format, bytes, Some("US"), piece), import(format, bytes, Some("US"), 10_000));
                proptest::prop_assert_eq!(pieces.map_err(|error| error.to_string()),
                    whole.map_err(|error| error.to_string()));
            }
        }
    }
}

#[test]
fn a_line_that_would_make_an_event_too_large_is_refused_by_itself() {
    let wide = (0..20).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    let long = vec!["x".repeat(400); 20].join(",");
    let (targets, result) = csv(&format!("phone,{wide}\n+14155552671,{long}\n+14155552672\n"));
    assert_eq!((targets.len(), result.rejected, result.told[0].line), (1, 1, 2));
    assert!(result.told[0].reason.contains("bytes"), "{:?}", result.told);
}
