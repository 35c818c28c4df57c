// Images for a list of {src}, loaded.
export function loadImages(pictures) {
  return Promise.all(
    pictures.map(
      (picture) =>
        new Promise((done) => {
          const image = new Image();
          image.onload = image.onerror = () => done({ ...picture, image });
          image.src = picture.src;
        }),
    ),
  );
}
