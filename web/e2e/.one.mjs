import { launch } from './lib/browser.mjs';
import { createOffice, signIn, watch } from './lib/console.mjs';
const url='http://127.0.0.1:5180';const b=await launch();const page=await b.context.newPage();const errors=watch(page);page.on('console',m=>console.log('C',m.text()));
const o=await createOffice(url);const v=o.visitor();await v.say('Where can I park?');await v.say('My name is Rosa Delgado, my number is 217-555-0133.');
await signIn(page,url,o.email);await page.waitForTimeout(2500);await page.screenshot({path:'/work/scratch/console-shots/one.png'});console.log(page.url(),errors,(await page.locator('main').innerText()).slice(0,600));await b.close();
