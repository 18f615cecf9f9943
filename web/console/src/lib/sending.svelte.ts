// What a form sends: whether it is under way, and why the last try failed.

export class Sending {
  busy = $state(false);
  /** Why the last try failed; forgotten when the next one begins. */
  error = $state.raw<unknown>(null);

  /** Does the work, once at a time; true when it was done. What failed is kept in `error`, and `failed` may do something about it. */
  async run(work: () => Promise<unknown>, failed?: (error: unknown) => void): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.error = null;
    try {
      await work();
      return true;
    } catch (error) {
      this.error = error;
      failed?.(error);
      return false;
    } finally {
      this.busy = false;
    }
  }

  /** For a form's `onsubmit`. */
  on = (work: () => Promise<unknown>, failed?: (error: unknown) => void) => (event: SubmitEvent): void => {
    event.preventDefault();
    void this.run(work, failed);
  };
}
