//! Proves with real processes that a cluster loses, doubles and leaves unanswered nothing: three nodes, a CQL server and Redis, load through every
//! frontend, one thing going wrong at a time, and a checker outside the system that compares what visitors were told with what is stored.

mod belonging;
mod cables;
mod calls;
mod cql;
mod everywhere;
mod fair;
mod fences;
mod history;
mod limits;
mod load;
mod model;
mod moves;
mod nodes;
mod partition;
mod proxy;
mod redis_down;
mod restore;
mod store_down;
mod sudden_end;
mod upgrade;
mod walk;

#[path = "../../cluster/tests/redis/server.rs"]
mod redis_server;
#[path = "../support/mod.rs"]
mod support;
