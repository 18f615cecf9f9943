// The drawing library with its style, in a chunk of its own.
import 'uplot/dist/uPlot.min.css';

export { default as Plot } from 'uplot';
