// Hands the microphone's sound to the page. A change of this file needs a new name: browsers keep it for good.
registerProcessor(
  'microphone',
  class extends AudioWorkletProcessor {
    process(inputs) {
      var channel = inputs[0] && inputs[0][0];
      if (channel) this.port.postMessage(channel.slice());
      return true;
    }
  },
);
