//! Files that people send with what they say: what they may be, what a line carries of them itself, and what stands for them where only words are read.
//!
//! What a file is follows from its bytes, never from its name. What a line cannot carry goes as a link in the words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Line, Message, State};
use crate::{campaign::number, lines::Provider, rejection::Rejection, vocabulary::Channel};

/// Files of one message. With five parts of a long text they stay below the parts that a delivery may have.
pub const FILES_MAX: usize = 5;
/// All files of one message, bytes: Twilio takes 5 MB of media and words, WhatsApp 5 MB of a picture.
pub const BYTES_MAX: u64 = 5_000_000;
/// Files that are kept of one conversation, sent or not.
pub const KEPT_MAX: usize = 500;
/// Characters of a name.
pub const NAME_CHARS_MAX: usize = 80;
/// A document over MMS, bytes: carriers shrink pictures, but not documents, and the smallest of them takes no more.
pub const MMS_DOCUMENT_BYTES_MAX: u64 = 600_000;
/// How long the carrier can fetch a file after it was said, ms.
pub const FETCH_WITHIN_MS: i64 = 24 * 3_600_000;
/// How long a link in the words opens, ms.
pub const READ_WITHIN_MS: i64 = 7 * 24 * 3_600_000;
/// Digits of a file's id.
pub const ID_DIGITS: usize = 16;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    /// A photograph.
    Jpeg,
    /// A picture.
    Png,
    /// A picture, perhaps moving.
    Gif,
    /// A document.
    Pdf,
    /// A picture or sticker, as WhatsApp sends them. Received only, like all that follow.
    Webp,
    /// A voice message of WhatsApp: Opus in Ogg.
    Ogg,
    /// Sound.
    Mp3,
    /// Sound: AAC in MP4, as telephones record it.
    M4a,
    /// Sound: AAC on its own.
    Aac,
    /// A voice message of older telephones. Browsers do not play it.
    Amr,
    /// Sound.
    Wav,
    /// A video.
    Mp4,
    /// A video of an iPhone.
    Mov,
    /// A video, small enough for MMS.
    ThreeGp,
}

impl FileType {
    /// What the team may send: every carrier and receiver can show it.
    pub const SENDABLE: [Self; 4] = [Self::Jpeg, Self::Png, Self::Gif, Self::Pdf];

    /// What bytes are, by how they begin.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        // A PNG whose first chunk is not its header is none.
        let png = bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.get(12..16) == Some(b"IHDR");
        if png {
            Some(Self::Png)
        } else if bytes.starts_with(b"\xff\xd8\xff") {
            Some(Self::Jpeg)
        } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
            Some(Self::Gif)
        } else if bytes.starts_with(b"%PDF-") {
            Some(Self::Pdf)
        } else if bytes.starts_with(b"OggS\0") {
            Some(Self::Ogg)
        } else if bytes.starts_with(b"#!AMR\n") || bytes.starts_with(b"#!AMR-WB\n") {
            Some(Self::Amr)
        } else if bytes.starts_with(b"RIFF") {
            match bytes.get(8..12)? {
                b"WEBP" => Some(Self::Webp),
                b"WAVE" => Some(Self::Wav),
                _ => None,
            }
        } else if bytes.get(4..8) == Some(b"ftyp") {
            Some(match bytes.get(8..12)? {
                b"M4A " | b"M4B " => Self::M4a,
                b"qt  " => Self::Mov,
                [b'3', b'g', b'p' | b'2', _] => Self::ThreeGp,
                // Pictures in the same box, which browsers do not show.
                b"heic" | b"heix" | b"hevc" | b"hevx" | b"mif1" | b"msf1" | b"avif" | b"avis" => return None,
                _ => Self::Mp4,
            })
        } else {
            Self::of_frames(bytes)
        }
    }

    /// Sound without a head of its own: each frame begins with eleven or twelve set bits, a version and a layer.
    fn of_frames(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"ID3") {
            return Some(Self::Mp3);
        }
        match bytes {
            [0xff, 0xf1 | 0xf9, ..] => Some(Self::Aac),
            [0xff, 0xfb | 0xfa | 0xf3 | 0xf2 | 0xe3 | 0xe2, rate, ..] if rate & 0xf0 != 0xf0 && rate & 0x0c != 0x0c => {
                Some(Self::Mp3)
            }
            _ => None,
        }
    }

    /// As HTTP names it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Pdf => "application/pdf",
            Self::Webp => "image/webp",
            Self::Ogg => "audio/ogg",
            Self::Mp3 => "audio/mpeg",
            Self::M4a => "audio/mp4",
            Self::Aac => "audio/aac",
            Self::Amr => "audio/amr",
            Self::Wav => "audio/wav",
            Self::Mp4 => "video/mp4",
            Self::Mov => "video/quicktime",
            Self::ThreeGp => "video/3gpp",
        }
    }

    /// How its names end; the first is what is appended where a name ends otherwise.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Jpeg => &["jpg", "jpeg"],
            Self::Png => &["png"],
            Self::Gif => &["gif"],
            Self::Pdf => &["pdf"],
            Self::Webp => &["webp"],
            Self::Ogg => &["ogg", "oga", "opus"],
            Self::Mp3 => &["mp3"],
            Self::M4a => &["m4a"],
            Self::Aac => &["aac"],
            Self::Amr => &["amr"],
            Self::Wav => &["wav"],
            Self::Mp4 => &["mp4"],
            Self::Mov => &["mov"],
            Self::ThreeGp => &["3gp"],
        }
    }

    /// Whether it is a picture.
    pub fn is_image(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::Gif | Self::Webp)
    }

    /// Whether the team may send it.
    pub fn is_sendable(self) -> bool {
        Self::SENDABLE.contains(&self)
    }
}

/// A file that was sent with a message. Its bytes are a blob under the conversation's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Names it within its conversation.
    pub id: String,
    /// What it is.
    pub kind: FileType,
    /// What people call it; ends as its type demands.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// A file as the console sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileView {
    /// Names it within its conversation.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Such as `image/png`.
    pub media_type: String,
    /// Its size.
    pub bytes: u64,
}

impl Attachment {
    /// As it is shown.
    pub fn view(&self) -> FileView {
        FileView {
            id: self.id.clone(),
            name: self.name.clone(),
            media_type: self.kind.media_type().to_owned(),
            bytes: self.bytes,
        }
    }
}

/// A file's name as it is kept: without a path, without what could break a header, ending as its type demands.
pub fn file_name(given: &str, kind: FileType) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String =
        last.chars().filter(|c| !c.is_control() && !turns(*c) && !"\"<>:|?*[]()".contains(*c)).collect();
    let plain = plain.trim().trim_start_matches('.');
    let ends = |ending: &&&str| {
        plain.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && end.eq_ignore_ascii_case(ending))
    };
    let found = kind.endings().iter().find(ends).copied();
    let stem = match found {
        Some(ending) => &plain[..plain.len() - ending.len() - 1],
        None => plain,
    };
    let ending = found.unwrap_or(kind.endings()[0]);
    let room = NAME_CHARS_MAX - ending.len() - 1;
    let stem: String = stem.chars().take(room).collect();
    let stem = if stem.trim().is_empty() { "file" } else { stem.trim() };
    format!("{stem}.{ending}")
}

/// Whether a character only turns the direction in which others are read: `gpj.exe` would be shown as `exe.jpg`.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether an id can be one of a file: nothing else is looked for in storage.
pub fn is_id(id: &str) -> bool {
    id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The largest file of a type that a line carries itself, bytes; 0: it goes as a link.
pub fn carried_max(line: &Line, channel: Channel, kind: FileType) -> u64 {
    if !kind.is_sendable() {
        return 0;
    }
    match (channel, line.provider) {
        (Channel::Sms, Provider::Twilio | Provider::Simulated) if takes_mms(&line.from, &line.to) => {
            if kind.is_image() { BYTES_MAX } else { MMS_DOCUMENT_BYTES_MAX }
        }
        (Channel::Whatsapp, _) if kind != FileType::Gif => BYTES_MAX,
        _ => 0,
    }
}

/// Whether pictures pass between two numbers: Twilio carries MMS within the USA and Canada, and within Australia.
fn takes_mms(from: &str, to: &str) -> bool {
    let area = |number: &str| match number::country(number)?.as_str() {
        "US" | "CA" => Some("NANP"),
        "AU" => Some("AU"),
        _ => None,
    };
    area(from).is_some_and(|from| area(to) == Some(from))
}

/// How large a file of each type a line carries itself, by media type, for the console.
pub fn carries(line: &Line, channel: Channel) -> BTreeMap<String, u64> {
    FileType::SENDABLE
        .into_iter()
        .map(|kind| (kind.media_type().to_owned(), carried_max(line, channel, kind)))
        .collect()
}

/// Whether files can be said over a channel now.
pub(super) fn sendable(state: &State, files: &[Attachment], channel: Channel, now_ms: i64) -> Result<(), Rejection> {
    if files.is_empty() {
        return Ok(());
    }
    if files.len() > FILES_MAX {
        return Err(Rejection::invalid("attachments", format!("at most {FILES_MAX} files in one message")));
    }
    if files.iter().map(|file| file.bytes).sum::<u64>() > BYTES_MAX {
        return Err(Rejection::invalid(
            "attachments",
            "the files of one message may have 5 MB together; send them in several",
        ));
    }
    match channel {
        Channel::Chat | Channel::Sms => Ok(()),
        Channel::Whatsapp => match state.lines.get(&channel) {
            Some(line) if !super::delivery::in_window(line, now_ms) => Err(Rejection::conflict(
                "whatsapp_window_closed",
                "WhatsApp takes files only within 24 hours after the person wrote. Send words in your approved template, or use another channel.",
            )),
            Some(_) | None => Ok(()),
        },
        Channel::Voice | Channel::Email | Channel::Linkedin | Channel::Messenger => Err(Rejection::conflict(
            "no_files_here",
            "No file can be sent over this channel. Choose text message, WhatsApp or the web chat.",
        )),
    }
}

/// A message where only words are read: what it says, and its files by name.
pub fn in_words(content: &str, files: &[Attachment]) -> String {
    if files.is_empty() {
        return content.to_owned();
    }
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    format!("{content} [{}]", names.join(", ")).trim_start().to_owned()
}

/// What stands for a message of a person that has files and no words.
pub fn without_words(files: usize) -> String {
    format!("[{files} attached]")
}

/// Whether a message of a person has files and no words.
pub(super) fn is_without_words(message: &Message) -> bool {
    !message.attachments.is_empty() && message.content == without_words(message.attachments.len())
}

/// What a carrier's number for a failure means, where it is about files; none for others.
pub fn failure(code: i64) -> Option<&'static str> {
    Some(match code {
        // Twilio's.
        11_200 | 63_019 => {
            "the carrier could not fetch the file: is the address of `public.api_url` reachable from the internet?"
        }
        12_300 | 63_005 | 63_021 => "the carrier does not take a file of this kind for this person",
        21_620 => "the carrier does not take the file's address: `public.api_url` must be a public https address",
        30_011 => "the person's network takes no pictures",
        30_019 => "the file is too large for the person's network",
        // Meta's.
        131_051 => "WhatsApp does not take a file of this kind",
        131_052 => "WhatsApp could not fetch the file: is the address of `public.api_url` reachable from the internet?",
        131_053 => "WhatsApp does not take this file: its kind or size is not allowed",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01";

    fn line(provider: Provider, from: &str, to: &str) -> Line {
        Line {
            provider,
            from: from.into(),
            external_id: None,
            to: to.into(),
            template: None,
            heard_ms: None,
            proof: None,
        }
    }

    #[test]
    fn what_a_file_is_follows_from_its_bytes() {
        for (bytes, kind) in [
            (PNG, Some(FileType::Png)),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Some(FileType::Jpeg)),
            (b"GIF89a\x01\0", Some(FileType::Gif)),
            (b"%PDF-1.7\n", Some(FileType::Pdf)),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some(FileType::Webp)),
            (b"RIFF\x10\0\0\0WAVEfmt ", Some(FileType::Wav)),
            (b"RIFF\x10\0\0\0AVI LIST", None),
            (b"RIFF", None),
            (b"OggS\0\x02\0\0", Some(FileType::Ogg)),
            (b"OggS a voice message", None),
            (b"ID3\x04\0", Some(FileType::Mp3)),
            (b"\xff\xfb\x90\x64", Some(FileType::Mp3)),
            (b"\xff\xfb\xff\xff", None),
            (b"\xff\xf1\x50\x80", Some(FileType::Aac)),
            (b"#!AMR\n\x3c", Some(FileType::Amr)),
            (b"#!/bin/sh", None),
            (b"\0\0\0\x18ftypM4A \0", Some(FileType::M4a)),
            (b"\0\0\0\x18ftypisom\0", Some(FileType::Mp4)),
            (b"\0\0\0\x14ftypqt  \0", Some(FileType::Mov)),
            (b"\0\0\0\x14ftyp3gp5\0", Some(FileType::ThreeGp)),
            (b"\0\0\0\x18ftypheic\0", None),
            (b"\0\0\0\x18ftyp", None),
            (b"MZ\x90\0 this is a program", None),
            (b"\x89PNG\r\n\x1a\n\0\0\0\x0dtEXt", None),
            (b"<svg onload=alert(1)>", None),
            (b"<html>", None),
            (b"", None),
        ] {
            assert_eq!(FileType::of(bytes), kind, "{bytes:?}");
        }
    }

    #[test]
    fn names_are_plain_and_end_as_the_type_demands() {
        for (given, kind, kept) in [
            ("photo.png", FileType::Png, "photo.png"),
            ("Photo.JPEG", FileType::Jpeg, "Photo.jpeg"),
            ("setup.exe", FileType::Png, "setup.exe.png"),
            ("../../etc/passwd", FileType::Pdf, "passwd.pdf"),
            ("C:\\a\\quote \"1\" [(x)].pdf", FileType::Pdf, "quote 1 x.pdf"),
            ("a\r\nset-cookie: x=1.gif", FileType::Gif, "aset-cookie x=1.gif"),
            (".png", FileType::Png, "png.png"),
            ("", FileType::Gif, "file.gif"),
            ("Öl.png", FileType::Png, "Öl.png"),
            ("invoice\u{202e}fdp.exe", FileType::Pdf, "invoicefdp.exe.pdf"),
            ("\u{2067}a\u{200f}b.pdf", FileType::Pdf, "ab.pdf"),
        ] {
            assert_eq!(file_name(given, kind), kept, "{given}");
        }
        assert_eq!(file_name(&"x".repeat(300), FileType::Png).chars().count(), NAME_CHARS_MAX);
    }

    #[test]
    fn only_ids_of_files_are_looked_for() {
        assert!(is_id("0123456789abcdef"));
        for id in ["", "0123456789abcde", "0123456789ABCDEF", "../../../../secr", "0123456789abcdef0"] {
            assert!(!is_id(id), "{id}");
        }
    }

    #[test]
    fn pictures_pass_where_the_line_takes_them() {
        let max = |line: &Line, channel, kind| carried_max(line, channel, kind);
        for (from, to, passes) in [
            ("+14155550100", "+12175550133", true),
            ("+14155550100", "+14165550133", true),
            ("+61491570156", "+61491570157", true),
            ("+14155550100", "+18765550133", false), // Jamaica shares the calling code.
            ("+14155550100", "+4915112345678", false),
            ("+4915112345678", "+4915112345679", false),
            ("+61491570156", "+14155550100", false),
        ] {
            let line = line(Provider::Twilio, from, to);
            assert_eq!(max(&line, Channel::Sms, FileType::Png) > 0, passes, "{from} to {to}");
            assert_eq!(max(&line, Channel::Sms, FileType::Pdf) == MMS_DOCUMENT_BYTES_MAX, passes, "{from} to {to}");
        }
        let meta = line(Provider::Whatsapp, "+4915112345678", "+14155550100");
        assert_eq!(max(&meta, Channel::Whatsapp, FileType::Pdf), BYTES_MAX);
        assert_eq!(max(&meta, Channel::Whatsapp, FileType::Gif), 0, "it goes as a link");
    }

    #[test]
    fn what_only_people_send_goes_over_no_line() {
        let line = line(Provider::Whatsapp, "+4915112345678", "+14155550100");
        for kind in [FileType::Ogg, FileType::Mp4, FileType::Webp, FileType::Amr] {
            assert_eq!((kind.is_sendable(), carried_max(&line, Channel::Whatsapp, kind)), (false, 0), "{kind:?}");
            assert!(!carries(&line, Channel::Whatsapp).contains_key(kind.media_type()), "{kind:?}");
        }
    }

    #[test]
    fn files_stand_among_words_by_name() {
        let file = Attachment { id: "0".repeat(16), kind: FileType::Png, name: "a.png".into(), bytes: 3 };
        assert_eq!(in_words("Look", &[]), "Look");
        assert_eq!(in_words("Look", std::slice::from_ref(&file)), "Look [a.png]");
        assert_eq!(in_words("", &[file.clone(), file]), "[a.png, a.png]");
    }
}
