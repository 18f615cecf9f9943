//! `colloquy carrier`: a simulated carrier for trying calls and campaigns without an account. It reaches nobody, and says so.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use colloquy_carrier::{Carrier, Config, Troubles};
use colloquy_domain::lines::simulated;

/// What it is to be.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Where it listens; set `messages.simulated_url` of the server to this address
    #[arg(long, default_value = "127.0.0.1:8099", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The account (`account_sid`) and its token (`auth_token`), as they are entered under integrations for `simulated`
    #[arg(long, default_value = simulated::ACCOUNT)]
    account: String,
    #[arg(long, default_value = simulated::TOKEN)]
    token: String,
    /// The API key (`api_key`) of the account on Retell's side, as it is entered under integrations for `simulated_retell`
    #[arg(long, default_value = simulated::RETELL_KEY)]
    retell_key: String,
    /// A number of the account; may be given several times
    #[arg(long = "number", default_values_t = [simulated::NUMBER.to_owned()], value_name = "NUMBER")]
    numbers: Vec<String>,
    /// What the people who are called follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many times faster than life rings and talks pass
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Calls per second; more are refused
    #[arg(long, default_value_t = 100)]
    calls_per_second: u32,
    /// Calls at once; more are refused
    #[arg(long, default_value_t = 10_000)]
    concurrent: usize,
    /// Callbacks of a hundred that never come
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    lost: u32,
    /// Callbacks of a hundred that come twice
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    doubled: u32,
    /// Callbacks of a hundred that come late
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    late: u32,
    /// Calls of a hundred whose creation is answered with an error, half of them although they are made
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    faults: u32,
    /// Questions of a hundred over Retell's socket behind which the connection is lost
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    dropped: u32,
    /// Write what it is asked and does to this file, JSON lines
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// Runs it until the process is ended.
pub(crate) fn run(arguments: Arguments) -> Result<(), String> {
    let speed_is_right = arguments.speed.is_finite() && (0.1..=1_000.0).contains(&arguments.speed);
    if !speed_is_right {
        return Err("`--speed` must be 0.1 to 1000".to_owned());
    }
    let config = Config {
        listen: arguments.listen,
        account: arguments.account,
        token: arguments.token,
        retell_key: arguments.retell_key,
        numbers: arguments.numbers,
        seed: arguments.seed,
        speed: arguments.speed,
        calls_per_second: arguments.calls_per_second,
        concurrent: arguments.concurrent,
        troubles: Troubles {
            lost: arguments.lost,
            doubled: arguments.doubled,
            late: arguments.late,
            faults: arguments.faults,
            dropped: arguments.dropped,
        },
        log: arguments.log,
    };
    let told = format!(
        "Simulated carrier: reaches nobody.\n  account_sid  {}\n  auth_token   {}\n  api_key      {} (Retell)\n  numbers      {}",
        config.account,
        config.token,
        config.retell_key,
        config.numbers.join(" ")
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let carrier = Carrier::start(config).await?;
        println!("{told}\n  address      {} (messages.simulated_url)", carrier.url());
        carrier.run().await;
        Ok(())
    })
}
