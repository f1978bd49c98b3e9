const { saveData, effectiveType = "unknown" } =
  navigator.connection ?? {};

document.querySelector("#connection").value = saveData
  ? "This browser asks to save data."
  : `This connection: ${effectiveType}.`;
