/** This origin's localStorage for one agent, as one flat dictionary; memory alone where it is blocked. */

export interface Vault {
  held: Record<string, string>;
  /** Undefined forgets the key. */
  set(key: string, value?: string): void;
  forget(): void;
}

export function openVault(agentId: string): Vault {
  const name = 'vbot:' + agentId;
  const vault: Vault = {
    held: {},
    set(key, value) {
      // Another tab may have written since: read, change one key, write.
      read();
      if (value === undefined) delete vault.held[key];
      else vault.held[key] = value;
      try {
        localStorage.setItem(name, JSON.stringify(vault.held));
      } catch {
        // Blocked or full: memory has it.
      }
    },
    forget() {
      vault.held = {};
      try {
        localStorage.removeItem(name);
      } catch {
        // Nothing was kept.
      }
    },
  };
  function read() {
    try {
      vault.held = Object.assign({}, JSON.parse(localStorage.getItem(name)!) || vault.held);
    } catch {
      // Blocked, or not ours: what we hold stays.
    }
  }
  read();
  return vault;
}
