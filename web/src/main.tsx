import { render } from 'preact';
import { App } from './app';
import { takeLoginCode } from './signin';
import './styles.css';

render(<App loginCode={takeLoginCode()} />, document.getElementById('app')!);
