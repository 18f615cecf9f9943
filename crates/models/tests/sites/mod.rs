//! The content of six businesses and questions about it, written for these tests.

use colloquy_domain::conversation::retrieved::Passage;

/// The passages of a site.
pub(crate) type Site = fn() -> Vec<Passage>;

pub(crate) fn passage(id: &str, title: &str, section: &str, text: &str) -> Passage {
    Passage {
        chunk_id: id.into(),
        title: title.into(),
        url: Some(format!("https://site.example/{id}")),
        section: section.into(),
        text: text.into(),
        score: 0.0,
    }
}

pub(crate) fn plumber() -> Vec<Passage> {
    vec![
        passage(
            "home",
            "Brightwater Plumbing – Austin, TX",
            "",
            "[Home](/) [Services](/services) [Contact](/contact)\n\n# Plumbing done right\n\nBrightwater Plumbing has kept the pipes of \
             Austin homes in order since 1994. The company was founded by Rosa Delgado and her brother Miguel. Today a team of 23 licensed \
             plumbers works from our shop at 418 Lamar Street.\n\nWe are licensed, bonded and insured in Travis County.\n\n[Book now](/book)",
        ),
        passage(
            "services",
            "Services",
            "What we do",
            "## What we do\n\nWe offer these services:\n\n- Drain cleaning and hydro jetting\n- Water heater repair and replacement\n- Leak \
             detection\n- Sewer camera inspection\n- Gas line installation\n\nWe do not work on swimming pools or lawn sprinklers. Our vans \
             carry the 300 most common parts, so most repairs are finished in one visit.",
        ),
        passage(
            "prices",
            "Prices",
            "Prices",
            "## Prices\n\n| Service | Price |\n|---|---|\n| Drain cleaning | from $149 |\n| Sewer camera inspection | $225 |\n| Diagnostic visit | \
             $79 |\n\nThe diagnostic visit fee is waived when you go ahead with the repair. Estimates for water heater replacement are free. \
             Prices for gas lines depend on the length of the run; ask us for a quote.",
        ),
        passage(
            "hours",
            "Contact",
            "Opening hours",
            "## Opening hours\n\n- Monday to Friday: 7 am – 6 pm\n- Saturday: 8 am – 2 pm\n- Sunday: closed\n\nOur emergency line is answered \
             around the clock, every day of the year. Call (512) 555-0142 or write to hello@brightwater.example.",
        ),
        passage(
            "warranty",
            "Warranty",
            "Our promise",
            "## Our promise\n\nAll labor is guaranteed for two years. Water heaters carry a manufacturer warranty of six years. It covers the \
             tank and the burner. Claims are settled within 10 business days.\n\nIf you cancel an appointment, please tell us at least 24 hours \
             before. Later cancellations cost $40.",
        ),
    ]
}

pub(crate) fn dentist() -> Vec<Passage> {
    vec![
        passage(
            "new-patients",
            "New patients",
            "Your first visit",
            "## Your first visit\n\nPlan about 90 minutes for your first appointment. Please bring your insurance card, a photo ID and a list of \
             the medicines you take. We accept Delta Dental, Cigna and MetLife. We do not accept Medicaid.\n\nNew patients under 18 must come \
             with a parent or guardian.",
        ),
        passage(
            "team",
            "Our team",
            "Dentists",
            "## Dentists\n\nDr. Hannah Okafor leads the practice and is board certified in pediatric dentistry. She speaks English, French and \
             Igbo. Dr. Liam Chen places implants and treats gum disease.\n\n## Hygienists\n\nSofia Marin has cleaned teeth here for 15 years.",
        ),
        passage(
            "whitening",
            "Whitening",
            "Treatments",
            "## Whitening\n\nIn-office whitening takes one hour and lightens teeth by up to eight shades. The result lasts about two years. \
             Whitening is not suitable during pregnancy. Parking is available behind the building on Elm Avenue.",
        ),
    ]
}

pub(crate) fn docs() -> Vec<Passage> {
    vec![
        passage(
            "limits",
            "Limits – Quarry documentation",
            "Reference › Limits",
            "# Limits\n\nA project can hold up to 40 tables. Each table may have at most 250 columns. The maximum size of one uploaded file is \
             512 MB. Requests are limited to 600 per minute and key; beyond that the server answers with status 429.\n\n```bash\ncurl -X POST \
             https://api.quarry.example/v2/tables\n```",
        ),
        passage(
            "auth",
            "Authentication – Quarry documentation",
            "Guides › Authentication",
            "# Authentication\n\nSend your key in the `X-Quarry-Key` header. Keys are created on the *Access* page of a project. A key that \
             has not been used for 180 days is revoked. To rotate a key, create the new one first, deploy it, and then delete the old one.",
        ),
        passage(
            "backup",
            "Backups – Quarry documentation",
            "Operations › Backups",
            "# Backups\n\nBackups run every night at 02:30 UTC and are kept for 35 days. Restoring a backup replaces all tables of the project. \
             They are encrypted with AES-256. The export format is Parquet.",
        ),
    ]
}

pub(crate) fn law() -> Vec<Passage> {
    vec![
        passage(
            "about",
            "About us | Hartwell & Pryce LLP",
            "About",
            "Hartwell & Pryce is a family law firm with offices in Portland and Salem. We opened our doors in 2003 with two attorneys and a shared fax machine. Since then our lawyers have handled more than 4,000 divorces, custody disputes and adoptions across Oregon.\n\nManaging partner Judith Hartwell previously served as a circuit court judge. Outside of work she rows on the Willamette.",
        ),
        passage(
            "consult",
            "Free consultation",
            "Getting started",
            "## Getting started\n\nThe first consultation lasts 30 minutes and costs nothing. After that our attorneys bill $320 per hour; paralegals bill $140 per hour. We ask for a retainer of $3,500 before we file anything with the court.\n\nYou can reach the front desk at 503-555-0199 between 8:30 and 17:00 on weekdays.",
        ),
        passage(
            "divorce",
            "Divorce in Oregon",
            "Practice areas",
            "An uncontested divorce in Oregon usually takes three to four months from filing to judgment. If you and your spouse disagree about property, expect nine months or more. At least one spouse must have lived in the state for six months. You do not need to prove that anybody was at fault.",
        ),
    ]
}
pub(crate) fn shop() -> Vec<Passage> {
    vec![
        passage(
            "returns",
            "Returns & refunds",
            "Help",
            "## Returns\n\nUnworn shoes can be sent back within 60 days of delivery. Print the prepaid label from your account, tape it on the box and drop it at any post office. Refunds reach your card 5 to 7 working days after the parcel arrives at our warehouse in Leeds.\n\n**Sale items** can be exchanged but not refunded.",
        ),
        passage(
            "shipping",
            "Delivery",
            "Help",
            "Standard delivery is free on orders over £50; below that it is £3.95. Next-day delivery costs £6.50 if you order before 3 pm. We currently ship to the UK, Ireland and the Netherlands. Parcels to Northern Ireland can take two days longer.",
        ),
        passage(
            "sizes",
            "Size guide",
            "Fit",
            "Our trail shoes run half a size small, so go up if you are between sizes. Women's shoes come in UK 3 to 9 and men's in UK 6 to 13. The Fell Runner weighs 240 grams per shoe.\n\n### Caring for your shoes\n\nWash them by hand in cold water and let them dry away from heaters. Never put them in the tumble dryer.",
        ),
        passage(
            "about",
            "Our story",
            "",
            "Moorland was started in 2015 by fell runner Tom Ashby in a garage outside Keswick. We now employ 48 people. All uppers are knitted from recycled fishing nets.",
        ),
    ]
}
pub(crate) fn saas() -> Vec<Passage> {
    vec![
        passage(
            "plans",
            "Pricing",
            "Plans",
            "| Plan | Monthly price | Users | Storage |\n|---|---|---|---|\n| Starter | $19 | 3 | 10 GB |\n| Team | $79 | 15 | 200 GB |\n| Business | $249 | unlimited | 2 TB |\n\nPay yearly and two months are on us. Nonprofits get 40% off any plan.",
        ),
        passage(
            "sso",
            "Single sign-on",
            "Security",
            "SAML single sign-on is part of the Business plan. Supported identity providers are Okta, Entra ID and Google Workspace. To switch it on, open Settings › Security and paste the metadata address of your provider.",
        ),
        passage(
            "data",
            "Where your data lives",
            "Security",
            "Customer data is stored in Frankfurt and Dublin. We hold ISO 27001 and SOC 2 Type II certificates. Deleted files stay in the recycle bin for 30 days and can be restored by any admin. After that they are gone for good.",
        ),
        passage(
            "sync",
            "Sync client",
            "Downloads",
            "The desktop client runs on Windows 10 or newer, macOS 13 or newer and Ubuntu 22.04. Linux users can install it from our apt repository:\n\n```\nsudo apt install tarn-sync\n```\n\nIf the icon turns orange, the client is offline. Files above 50 GB are skipped.",
        ),
    ]
}

/// Each row: the site, the question, the page that answers it, what the answer must hold.
pub(crate) const ANSWERED: &[(Site, &str, &str, &str)] = &[
    (plumber, "When was the company founded?", "home", "since 1994"),
    (plumber, "Who founded Brightwater?", "home", "founded by Rosa Delgado"),
    (plumber, "How many plumbers do you have?", "home", "23 licensed plumbers"),
    (plumber, "What is your address?", "home", "418 Lamar Street"),
    (plumber, "Are you insured?", "home", "licensed, bonded and insured"),
    (plumber, "What services do you offer?", "services", "Leak detection"),
    (plumber, "Do you fix water heaters?", "services", "Water heater repair"),
    (plumber, "Can you repair my pool?", "services", "do not work on swimming pools"),
    (plumber, "How much does drain cleaning cost?", "prices", "from $149"),
    (plumber, "What do you charge for a sewer camera inspection?", "prices", "$225"),
    (plumber, "how much is an estimate for a water heater", "prices", "are free"),
    (plumber, "What are your prices?", "prices", "$149"),
    (plumber, "What are your opening hours?", "hours", "Monday to Friday: 7 am – 6 pm"),
    (plumber, "Are you open on Sunday?", "hours", "Sunday: closed"),
    (plumber, "What's your phone number?", "hours", "(512) 555-0142"),
    (plumber, "How long is the warranty on water heaters?", "warranty", "six years"),
    (plumber, "Is the tank covered?", "warranty", "It covers the tank and the burner."),
    (plumber, "How much notice do you need if I cancel?", "warranty", "24 hours"),
    (plumber, "What is the fee for a late cancellation?", "warranty", "$40"),
    (dentist, "Which insurance do you accept?", "new-patients", "Delta Dental, Cigna and MetLife"),
    (dentist, "Do you take Medicaid?", "new-patients", "do not accept Medicaid"),
    (dentist, "How long does the first appointment take?", "new-patients", "90 minutes"),
    (dentist, "What should I bring to my first visit?", "new-patients", "insurance card"),
    (dentist, "Who does implants?", "team", "Dr. Liam Chen"),
    (dentist, "What languages does Dr. Okafor speak?", "team", "English, French and Igbo"),
    (dentist, "How long does whitening last?", "whitening", "about two years"),
    (dentist, "Where can I park?", "whitening", "behind the building"),
    (docs, "How many tables can a project have?", "limits", "up to 40 tables"),
    (docs, "What is the maximum file size?", "limits", "512 MB"),
    (docs, "what is the rate limit for requests", "limits", "600 per minute"),
    (docs, "Which header carries the key?", "auth", "X-Quarry-Key"),
    (docs, "When are unused keys revoked?", "auth", "180 days"),
    (docs, "How do I rotate a key?", "auth", "create the new one first"),
    (docs, "How long are backups kept?", "backup", "35 days"),
    (docs, "When do backups run?", "backup", "02:30 UTC"),
    (docs, "Are backups encrypted?", "backup", "AES-256"),
    (docs, "What format do exports use?", "backup", "Parquet"),
    (law, "Where are your offices?", "about", "Portland and Salem"),
    (law, "what year did the firm open", "about", "2003"),
    (law, "Who is the managing partner?", "about", "Judith Hartwell"),
    (law, "How long is the first consultation?", "consult", "30 minutes"),
    (law, "How much do attorneys charge per hour?", "consult", "$320"),
    (law, "What's the retainer?", "consult", "$3,500"),
    (law, "is the consultation free?", "consult", "costs nothing"),
    (law, "What number can I call?", "consult", "503-555-0199"),
    (law, "How long does an uncontested divorce take?", "divorce", "three to four months"),
    (law, "Do I have to prove fault?", "divorce", "do not need to prove"),
    (law, "how long do I need to live in Oregon before filing", "divorce", "six months"),
    (shop, "How many days do I have to return shoes?", "returns", "60 days"),
    (shop, "When will I get my refund?", "returns", "5 to 7 working days"),
    (shop, "Can I return sale items?", "returns", "exchanged but not refunded"),
    (shop, "How much is next day delivery?", "shipping", "£6.50"),
    (shop, "Do you deliver to Ireland?", "shipping", "UK, Ireland"),
    (shop, "Which countries do you ship to?", "shipping", "UK, Ireland and the Netherlands"),
    (shop, "how much does standard shipping cost", "shipping", "£3.95"),
    (shop, "What is the weight of the Fell Runner?", "sizes", "240 grams"),
    (shop, "Do the shoes run small?", "sizes", "half a size small"),
    (shop, "Can I put them in the dryer?", "sizes", "tumble dryer"),
    (shop, "Who started Moorland?", "about", "Tom Ashby"),
    (shop, "what are the uppers made of", "about", "recycled fishing nets"),
    (shop, "How many employees do you have?", "about", "48 people"),
    (saas, "How much is the Team plan?", "plans", "$79"),
    (saas, "how many users are in the starter plan", "plans", "Users 3"),
    (saas, "Is there a discount for nonprofits?", "plans", "40%"),
    (saas, "Which plan includes SSO?", "sso", "Business plan"),
    (saas, "Do you support Okta?", "sso", "Okta"),
    (saas, "Where is my data stored?", "data", "Frankfurt and Dublin"),
    (saas, "Are you ISO 27001 certified?", "data", "ISO 27001"),
    (saas, "how long are deleted files kept?", "data", "30 days"),
    (saas, "Does the client run on Linux?", "sync", "apt repository"),
    (saas, "What does an orange icon mean?", "sync", "offline"),
    (saas, "Which macOS version is needed?", "sync", "macOS 13"),
    (saas, "max file size for sync", "sync", "50 GB"),
];
